#include "branch/wal_files.h"

#include <algorithm>
#include <map>

#include "branch/content_cache.h"
#include "branch/read_ahead.h"
#include "catalog/wal_segment.h"
#include "pg/format/wal_name.h"

namespace pgstrata {
namespace {

constexpr std::size_t cached_bytes = 6 * wal_piece_bytes;

ContentTag key_of(const RecoverySegment& segment, std::size_t piece) {
  ContentTag key{};
  const std::uint64_t position = segment.start.value + piece;
  std::memcpy(key.data(), &position, sizeof position);
  std::memcpy(key.data() + sizeof position, &segment.timeline.value, sizeof segment.timeline.value);
  return key;
}

class WalFiles;

class WalFile final : public BaseFile {
 public:
  WalFile(WalFiles& files, const RecoverySegment& segment) : files_(files), segment_(segment) {}
  Result<void> read(std::uint64_t offset, MutableByteView into) override;

 private:
  WalFiles& files_;
  const RecoverySegment segment_;
};

class WalFiles final : public BaseFiles {
 public:
  WalFiles(const ClusterSpace& space, VisibleWal wal)
      : space_(space), wal_(std::move(wal)), cache_(cached_bytes) {
    for (const auto& segment : wal_.sealed) by_name_[name_of(segment)] = segment;
  }

  Result<std::optional<BaseEntry>> find(std::string_view path) override {
    if (path.empty()) return BaseEntry{.directory = true, .mode = 0700, .size_bytes = 0};
    if (!by_name_.contains(path)) return std::nullopt;
    return BaseEntry{.directory = false, .mode = 0600, .size_bytes = wal_.segment_bytes};
  }

  Result<std::vector<Named>> list(std::string_view) override {
    std::vector<Named> names;
    for (const auto& [name, segment] : by_name_) names.push_back({name, false});
    return names;
  }

  Result<std::unique_ptr<BaseFile>> open(std::string_view path) override {
    const auto found = by_name_.find(path);
    if (found == by_name_.end()) return fail(ErrorCode::not_found, "there is no WAL segment {}", path);
    return std::make_unique<WalFile>(*this, found->second);
  }

  void patch(Lsn at, MutableByteView bytes) const { apply_wal_patches(wal_.patches, at, bytes); }

  // Up to where the segment may be seen.
  [[nodiscard]] std::uint64_t visible_bytes(const RecoverySegment& segment) const {
    if (wal_.end <= segment.start) return 0;
    return std::min<std::uint64_t>(wal_.end - segment.start, wal_.segment_bytes);
  }

  Result<ContentCache::Content> piece(const RecoverySegment& segment, std::size_t number) {
    auto content = cache_.get(key_of(segment, number), [&] { return load(segment, number); });
    read_ahead(segment, number + 1);
    if (!content)
      return std::unexpected(std::move(content).error().with_context("read WAL " + name_of(segment)));
    return content;
  }

 private:
  void read_ahead(const RecoverySegment& segment, std::size_t number) {
    if (number * wal_piece_bytes >= visible_bytes(segment)) {
      const auto next = std::ranges::upper_bound(wal_.sealed, segment.start, {}, &RecoverySegment::start);
      if (next == wal_.sealed.end()) return;
      if (!cache_.has(key_of(*next, 0))) ahead_.add([this, wanted = *next] { warm(wanted, 0); });
    } else if (!cache_.has(key_of(segment, number))) {
      ahead_.add([this, segment, number] { warm(segment, number); });
    }
  }
  void warm(const RecoverySegment& segment, std::size_t number) {
    // What goes wrong here is told to whoever reads it.
    static_cast<void>(cache_.get(key_of(segment, number), [&] { return load(segment, number); }));
  }

  [[nodiscard]] std::string name_of(const RecoverySegment& segment) const {
    return wal_segment_name({segment.timeline, wal_segment_of(segment.start, wal_.segment_bytes)},
                            wal_.segment_bytes);
  }

  Result<Bytes> load(const RecoverySegment& segment, std::size_t number) {
    const std::lock_guard lock(reader_mutex_);
    if (!reader_ || !(reader_of_ == segment)) {
      reader_.reset();
      PGS_TRY(auto opened, WalSegmentReader::open(
                               space_, wal_object_name(segment.timeline, segment.start, wal_.segment_bytes)));
      reader_.emplace(std::move(opened));
      reader_of_ = segment;
    }
    return reader_->read_piece(number);
  }

  ClusterSpace space_;
  const VisibleWal wal_;
  std::map<std::string, RecoverySegment, std::less<>> by_name_;
  ContentCache cache_;
  std::mutex reader_mutex_;  // guards what follows
  std::optional<WalSegmentReader> reader_;
  RecoverySegment reader_of_;
  ReadAhead ahead_;  // the last member: its thread uses all the others
};

Result<void> WalFile::read(std::uint64_t offset, MutableByteView into) {
  const auto whole = into;
  const Lsn at = segment_.start + offset;
  const auto visible = files_.visible_bytes(segment_);
  while (!into.empty()) {
    if (offset >= visible) {
      std::ranges::fill(into, std::byte{});
      break;
    }
    const auto number = static_cast<std::size_t>(offset / wal_piece_bytes);
    PGS_TRY(const auto content, files_.piece(segment_, number));
    const auto within = static_cast<std::size_t>(offset % wal_piece_bytes);
    if (within >= content->size()) return fail(ErrorCode::damaged, "a piece of WAL is too short");
    const auto size =
        std::min({into.size(), content->size() - within, static_cast<std::size_t>(visible - offset)});
    std::ranges::copy(ByteView(*content).subspan(within, size), into.begin());
    into = into.subspan(size);
    offset += size;
  }
  files_.patch(at, whole);
  return {};
}

}  // namespace

std::unique_ptr<BaseFiles> open_wal_files(const ClusterSpace& space, VisibleWal wal) {
  std::ranges::sort(wal.sealed, {}, &RecoverySegment::start);
  return std::make_unique<WalFiles>(space, std::move(wal));
}

}  // namespace pgstrata
