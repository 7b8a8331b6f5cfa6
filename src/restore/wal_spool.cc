#include "restore/wal_spool.h"

#include <algorithm>

#include <unistd.h>

#include "catalog/wal_inventory.h"
#include "catalog/wal_segment.h"
#include "pg/format/text_parsing.h"
#include "pg/format/wal_name.h"

namespace pgstrata {
namespace {

constexpr std::string_view position_file = "position";
constexpr std::size_t kit_limit_bytes = 1U << 30;

// Beside `path`, of this process alone.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  return path.native() + fmt::format(".{}.tmp", ::getpid());
}

}  // namespace

Result<WalSpool> WalSpool::open(const std::filesystem::path& kit_path) {
  PGS_TRY(const auto bytes, read_file(kit_path, kit_limit_bytes));
  PGS_TRY(auto kit, decode_recovery_kit(bytes).context(kit_path.native()));
  return WalSpool(std::move(kit), kit_path.has_parent_path() ? kit_path.parent_path() : ".");
}

std::string WalSpool::name_of(const KitSegment& segment) const {
  const auto size = kit_.wal_segment_bytes;
  return wal_segment_name({segment.timeline, wal_segment_of(segment.start, size)}, size);
}

std::optional<std::size_t> WalSpool::find(std::string_view name) const {
  const auto segment = parse_wal_segment_name(name, kit_.wal_segment_bytes);
  if (!segment) return std::nullopt;
  const Lsn start = wal_segment_start(segment->number, kit_.wal_segment_bytes);
  const auto found = std::ranges::find_if(kit_.segments, [&](const KitSegment& listed) {
    return listed.start == start && listed.timeline == segment->timeline;
  });
  if (found == kit_.segments.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kit_.segments.begin());
}

// A link for what recovery may ask for again (it was written once and is in no pack); a rename for the rest.
Result<bool> WalSpool::take(std::string_view name, const std::filesystem::path& destination) const {
  const auto index = find(name);
  const auto from = file(name);
  if (index && kit_.segments[*index].pack_key) {
    auto moved = rename_file(from, destination);
    if (moved) return true;
    if (moved.error().code() == ErrorCode::not_found) return false;
    return std::unexpected(std::move(moved).error());
  }
  PGS_TRY(const bool ready, file_exists(from));
  if (!ready) return false;
  const auto temporary = temporary_beside(destination);
  // A process that was killed may have had this one's id: in a container they soon come again.
  ::unlink(temporary.c_str());
  auto copied = duplicate_file(from, temporary);
  if (copied) copied = rename_file(temporary, destination);
  if (!copied) {
    ::unlink(temporary.c_str());
    return std::unexpected(std::move(copied).error());
  }
  return true;
}

Result<void> WalSpool::read_segment(ObjectStore& store, const KitSegment& segment,
                                    const std::filesystem::path& destination) const {
  const auto size = kit_.wal_segment_bytes;
  PGS_TRY(auto reader, WalSegmentReader::open_with_key(store, kit_.cluster,
                                                       wal_object_name(segment.timeline, segment.start, size),
                                                       *segment.pack_key));
  const std::uint64_t wanted = std::min<std::uint64_t>(size, kit_.end_lsn - segment.start);
  const auto temporary = temporary_beside(destination);
  PGS_TRY(const auto file, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  std::uint64_t at = 0;
  const auto written = reader.read([&](ByteView piece) -> Result<void> {
    const auto part = piece.first(std::min<std::uint64_t>(piece.size(), wanted - std::min(at, wanted)));
    PGS_CHECK(write_all_at(file, at, part));
    at += piece.size();
    return {};
  });
  const auto finished = written ? resize_file(file, size) : written;
  if (!finished || at != size) {
    ::unlink(temporary.c_str());
    if (!finished) return finished;
    return fail(ErrorCode::damaged, "the WAL segment {} has {} bytes in the repository", name_of(segment),
                at);
  }
  return rename_file(temporary, destination);
}

Result<std::optional<std::size_t>> WalSpool::position() const {
  auto content = read_file(folder_ / position_file, 64);
  if (!content && content.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!content) return std::unexpected(std::move(content).error());
  return parse_decimal<std::size_t>(as_text(*content));
}

Result<void> WalSpool::set_position(std::size_t index) const {
  const auto path = folder_ / position_file;
  PGS_CHECK(write_file(temporary_beside(path), as_byte_view(std::to_string(index))));
  return rename_file(temporary_beside(path), path);
}

}  // namespace pgstrata
