#include <algorithm>

#include "repo/journal_format.h"

namespace pgstrata {
namespace {

// Holds the largest frame and then some.
constexpr std::size_t window_size_bytes = 8U << 20;
static_assert(window_size_bytes >= max_frame_size_bytes + frame_overhead_bytes);

// An object seen through a window that slides over it.
class ObjectWindow {
 public:
  // Empty until the first refresh.
  ObjectWindow(ObjectStore& store, std::string name) : store_(store), name_(std::move(name)) {}

  // What was seen so far may be older than what is there.
  Result<void> refresh() {
    // One that was put whole is small, and does not change: one request.
    if (!store_.capabilities().journals) return load_whole();
    PGS_TRY(const ObjectInfo info, store_.stat(name_));
    size_bytes_ = info.size_bytes;
    bytes_.resize(0);
    return {};
  }

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  // The bytes from `offset`, at most `count` and as many as there are. Valid until the next call.
  Result<ByteView> view(std::uint64_t offset, std::size_t count) {
    if (offset >= size_bytes_) return ByteView();
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(count, size_bytes_ - offset));
    if (offset < start_ || offset + wanted > start_ + bytes_.size()) PGS_CHECK(load(offset));
    return bytes_.view().subspan(static_cast<std::size_t>(offset - start_), wanted);
  }

 private:
  Result<void> load_whole() {
    PGS_TRY(const Bytes content, store_.get(name_));
    bytes_ = Buffer(content.size());
    bytes_.append(content);
    size_bytes_ = content.size();
    start_ = 0;
    return {};
  }

  Result<void> load(std::uint64_t offset) {
    start_ = offset;
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(window_size_bytes, size_bytes_ - offset));
    bytes_.resize(0);
    if (bytes_.capacity() < size) bytes_ = Buffer(size);
    PGS_CHECK(store_.read(name_, offset, bytes_.whole().first(size)));
    bytes_.resize(size);
    return {};
  }

  ObjectStore& store_;
  std::string name_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t start_ = 0;
  Buffer bytes_;
};

struct Frame {
  FrameHeader header;
  std::size_t stored_size = 0;
};

class JournalReader {
 public:
  JournalReader(ObjectWindow window, std::string full_name, ByteView header, const SecretKey& key,
                std::string_view name)
      : window_(std::move(window)), full_name_(std::move(full_name)), aead_(key), binding_(header, name) {}

  Result<std::uint32_t> read(const UseFrame& use, const UseFrame& use_beyond) {
    std::optional<std::uint32_t> suspected;
    while (true) {
      PGS_CHECK(read_frames(use));
      Result<void> end = check_end();
      if (end) return durable_;
      if (end.error().code() != ErrorCode::damaged) return std::unexpected(std::move(end).error());
      if (suspected == number_) {
        if (use_beyond) PGS_CHECK(read_beyond(use_beyond));
        return std::unexpected(std::move(end).error());
      }
      // The place of the frame was read before, what came after it later: a writer at work may have filled
      // both in between. Nobody takes back what was durable, so a second look tells.
      suspected = number_;
      PGS_CHECK(window_.refresh());
    }
  }

 private:
  // From where the last one ended, as far as there are whole ones.
  Result<void> read_frames(const UseFrame& use) {
    while (true) {
      PGS_TRY(const auto frame, open_frame(offset_));
      if (!frame.has_value() || frame->header.number != number_) return {};
      PGS_CHECK(use(ByteView(content_).first(frame->header.length)));
      durable_ = frame->header.durable;
      offset_ += frame->stored_size;
      ++number_;
    }
  }

  // Opens the frame at `offset` into content_; nothing when there is none that authenticates.
  Result<std::optional<Frame>> open_frame(std::uint64_t offset) {
    PGS_TRY(const ByteView start, window_.view(offset, frame_header_size_bytes));
    const auto header = parse_frame_header(start);
    if (!header.has_value()) return std::optional<Frame>();
    promised_ = promised_ || header->durable > number_;
    const std::size_t stored_size = header->length + frame_overhead_bytes;
    PGS_TRY(const ByteView stored, window_.view(offset, stored_size));
    if (stored.size() < stored_size) return std::optional<Frame>();
    if (content_.size() < header->length) content_.resize(header->length);
    const ByteView frame_header = stored.first(frame_header_size_bytes);
    const auto opened =
        aead_.open(header->number, binding_.at(offset, frame_header), stored.subspan(frame_header_size_bytes),
                   MutableByteView(content_).first(header->length));
    if (!opened.has_value()) {
      wasted_bytes_ += stored_size;
      return std::optional<Frame>();
    }
    wasted_bytes_ = 0;
    return std::optional<Frame>({.header = *header, .stored_size = stored_size});
  }

  std::unexpected<Error> damaged() const {
    return fail(ErrorCode::damaged, "journal \"{}\" is damaged at offset {}", full_name_, offset_);
  }

  // The next frame should be at offset_ and is not there. That is where the journal ends, unless the header
  // of a later frame tells that this one was durable; whether that frame authenticates does not matter, for a
  // crash leaves none that says so.
  Result<void> check_end() {
    Look look = begin_look();
    while (true) {
      PGS_TRY(const auto frame, look_further(look));
      if (promised_) return damaged();
      if (!frame.has_value()) break;
    }
    if (wasted_bytes_ > work_limit()) return damaged();
    if (window_.size_bytes() > look.until) {
      return fail(ErrorCode::damaged,
                  "\"{}\" of {} bytes is longer than any journal whose frames end at byte {}", full_name_,
                  window_.size_bytes(), look.until - look_limit_bytes);
    }
    return {};
  }

  // The frames behind the damage, wherever one authenticates in its place.
  Result<void> read_beyond(const UseFrame& use) {
    Look look = begin_look();
    while (true) {
      PGS_TRY(const auto frame, look_further(look));
      if (!frame.has_value()) return {};
      PGS_CHECK(use(ByteView(content_).first(frame->header.length)));
    }
  }

  // A search for frames behind the last whole one.
  struct Look {
    std::uint64_t at;
    std::uint64_t until;  // nothing of a journal is there or later
  };
  Look begin_look() {
    wasted_bytes_ = 0;
    promised_ = false;
    return {.at = offset_, .until = offset_ + look_limit_bytes};
  }

  // The next frame that authenticates, in content_; nothing when the search is over.
  Result<std::optional<Frame>> look_further(Look& look) {
    while (wasted_bytes_ <= work_limit()) {
      PGS_TRY(const auto candidate, find_magic(look.at, look.until));
      if (!candidate.has_value()) break;
      PGS_TRY(const auto frame, open_frame(*candidate));
      look.at = *candidate + (frame.has_value() ? frame->stored_size : 1);
      if (!frame.has_value()) continue;
      look.until = look.at + look_limit_bytes;
      return frame;
    }
    return std::optional<Frame>();
  }

  // A forged journal could hold a frame header every few bytes, each asking for megabytes to be checked.
  [[nodiscard]] std::uint64_t work_limit() const {
    return 4 * std::min(window_.size_bytes(), look_limit_bytes) + window_size_bytes;
  }

  Result<std::optional<std::uint64_t>> find_magic(std::uint64_t from, std::uint64_t until) {
    constexpr std::size_t step_bytes = 1U << 20;
    const ByteView magic = frame_magic();
    while (from < std::min(until, window_.size_bytes())) {
      PGS_TRY(const ByteView bytes, window_.view(from, step_bytes));
      const auto found = std::ranges::search(bytes, magic);
      if (!found.empty()) {
        return std::optional(from + static_cast<std::uint64_t>(found.begin() - bytes.begin()));
      }
      if (bytes.size() < magic.size()) break;
      from += bytes.size() - (magic.size() - 1);
    }
    return std::optional<std::uint64_t>();
  }

  ObjectWindow window_;
  std::string full_name_;
  Aead aead_;
  FrameBinding binding_;
  Bytes content_;
  std::uint64_t offset_ = object_header_size_bytes;  // of the next frame
  std::uint32_t number_ = 0;                         // of the next frame
  std::uint32_t durable_ = 0;                        // frames that were, as the last one says
  bool promised_ = false;           // a frame that was looked at says that the next one was durable
  std::uint64_t wasted_bytes_ = 0;  // on frames that did not open, since one that did
};

// The header is durable before the first frame is appended: where it is torn, nothing may follow.
Result<bool> only_zeros_after_header(ObjectWindow& window) {
  if (window.size_bytes() > object_header_size_bytes + look_limit_bytes) return false;
  for (std::uint64_t at = object_header_size_bytes; at < window.size_bytes();) {
    PGS_TRY(const ByteView bytes, window.view(at, window_size_bytes));
    if (std::ranges::any_of(bytes, [](std::byte byte) { return byte != std::byte{0}; })) return false;
    at += bytes.size();
  }
  return true;
}

struct JournalHeader {
  Bytes bytes;
  ObjectId id;
};

// Nothing, when the journal was never begun.
Result<std::optional<JournalHeader>> read_header(ObjectWindow& window, const std::string& full_name) {
  PGS_CHECK(window.refresh());
  PGS_TRY(const ByteView start, window.view(0, object_header_size_bytes));
  Bytes bytes = to_bytes(start);
  const auto id = read_object_header(bytes, journal_magic, journal_kind, full_name);
  if (id.has_value()) return std::optional(JournalHeader{.bytes = std::move(bytes), .id = *id});
  if (id.error().code() != ErrorCode::damaged) return std::unexpected(id.error());
  PGS_TRY(const bool never_written, only_zeros_after_header(window));
  if (never_written) return std::optional<JournalHeader>();
  return std::unexpected(id.error());
}

}  // namespace

Result<std::uint32_t> read_journal(const ClusterSpace& space, std::string_view name, const UseFrame& use,
                                   const UseFrame& use_beyond) {
  const std::string full_name = space.object_name(name);
  ObjectWindow window(space.store(), full_name);
  auto header = read_header(window, full_name);
  // As for a frame: it may have been written between two looks.
  if (!header && header.error().code() == ErrorCode::damaged) header = read_header(window, full_name);
  if (!header) return std::unexpected(std::move(header).error());
  if (!header->has_value()) return 0U;
  const SecretKey key = space.object_key((*header)->id, journal_key_purpose);
  return JournalReader(std::move(window), full_name, (*header)->bytes, key, name).read(use, use_beyond);
}

}  // namespace pgstrata
