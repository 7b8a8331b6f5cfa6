#include "pg/format/wal_reader.h"

#include <algorithm>

#include "codec/endian.h"
#include "pg/format/page.h"
#include "pg/format/wal_name.h"

namespace pgstrata {
namespace {

constexpr std::size_t alignment = 8;
constexpr std::size_t keep_capacity_bytes = 1U << 20U;
constexpr std::uint8_t operation_switch = 0x40;

std::uint32_t padding_after(Lsn lsn) {
  return static_cast<std::uint32_t>((alignment - lsn.value % alignment) % alignment);
}

}  // namespace

Result<WalRecordReader> WalRecordReader::create(const WalReaderOptions& options) {
  if (!is_wal_segment_size(options.segment_size_bytes)) {
    return fail(ErrorCode::usage, "{} is no WAL segment size", options.segment_size_bytes);
  }
  if (options.major_version != 0 && wal_page_magic(options.major_version) == 0) {
    return fail(ErrorCode::unsupported, "WAL of PostgreSQL {} is not supported", options.major_version);
  }
  const std::uint64_t in_page = options.start.value % wal_page_size;
  if (in_page != 0 &&
      (options.major_version == 0 || in_page < wal_page_header_size_bytes || in_page % alignment != 0)) {
    return fail(ErrorCode::usage,
                "WAL cannot be read from {}: no record starts there or the version is not known",
                options.start);
  }
  return WalRecordReader(options);
}

WalRecordReader::WalRecordReader(const WalReaderOptions& options)
    : segment_size_bytes_(options.segment_size_bytes),
      system_identifier_(options.system_identifier),
      major_version_(options.major_version),
      start_(options.start),
      position_(options.start),
      valid_to_(options.start) {}

Result<void> WalRecordReader::feed(ByteView bytes, WalRecordHandler& handler) {
  while (!bytes.empty()) {
    if (ended_) {
      advance(bytes, bytes.size());
    } else if (position_ < skip_to_) {
      advance(bytes, static_cast<std::size_t>(std::min<std::uint64_t>(skip_to_ - position_, bytes.size())));
    } else if (at_page_header()) {
      PGS_CHECK(feed_page_header(bytes));
    } else {
      PGS_CHECK(feed_records(bytes, handler));
    }
  }
  return {};
}

void WalRecordReader::end() {
  ended_ = true;
  partial_ = Bytes();
}

Result<void> WalRecordReader::feed_page_header(ByteView& bytes) {
  const Lsn at{position_.value - header_filled_};
  const auto wanted = [&] {
    return header_filled_ < 4 ? std::size_t{4} : wal_page_header_size(ByteView(header_).first(4));
  };
  while (header_filled_ < wanted()) {
    if (bytes.empty()) return {};
    const std::size_t count = std::min(wanted() - header_filled_, bytes.size());
    std::copy_n(bytes.begin(), count, header_.begin() + static_cast<std::ptrdiff_t>(header_filled_));
    header_filled_ += count;
    advance(bytes, count);
  }
  const ByteView raw = ByteView(header_).first(header_filled_);
  header_filled_ = 0;
  if (is_all_zero(raw)) {
    end();
    return {};
  }
  auto header = parse_wal_page_header(raw);
  if (!header) return std::unexpected(std::move(header.error()).with_context(fmt::format("WAL at {}", at)));
  PGS_CHECK(check_page_header(*header, at));
  return begin_page(*header, at);
}

Result<void> WalRecordReader::check_page_header(const WalPageHeader& header, Lsn at) {
  if (header.lsn != at) return fail(ErrorCode::damaged, "the WAL page at {} is that of {}", at, header.lsn);
  if (major_version_ != 0 && header.major_version != major_version_) {
    return fail(ErrorCode::damaged, "the WAL page at {} is of PostgreSQL {}, not {}", at,
                header.major_version, major_version_);
  }
  if (header.timeline < timeline_) {
    return fail(ErrorCode::damaged, "the WAL page at {} is of timeline {}, after {}", at, header.timeline,
                timeline_);
  }
  if (header.is_long) {
    if (system_identifier_.valid() && header.system_identifier != system_identifier_) {
      return fail(ErrorCode::damaged, "the WAL at {} is of system {}, not {}", at, header.system_identifier,
                  system_identifier_);
    }
    if (header.segment_size_bytes != segment_size_bytes_) {
      return fail(ErrorCode::damaged, "the WAL at {} is in segments of {} bytes, not {}", at,
                  header.segment_size_bytes, segment_size_bytes_);
    }
  } else if (at.value % segment_size_bytes_ == 0) {
    return fail(ErrorCode::damaged, "the WAL segment at {} has no long header", at);
  }
  return {};
}

// Decides what the page's first bytes are: the rest of the record at hand, of one passed over, or a new
// record.
Result<void> WalRecordReader::begin_page(const WalPageHeader& header, Lsn at) {
  major_version_ = header.major_version;
  timeline_ = header.timeline;
  if (header.is_long) system_identifier_ = header.system_identifier;

  if (header.overwrites_continuation) {
    partial_.clear();
    skip_record_bytes_ = 0;
    return {};
  }
  if (at == start_ && header.first_is_continuation) {
    if (header.remaining_bytes == 0 || header.remaining_bytes > wal_record_limit_bytes) {
      return fail(ErrorCode::damaged, "the WAL page at {} continues {} bytes", at, header.remaining_bytes);
    }
    skip_record_bytes_ = header.remaining_bytes;
    return {};
  }
  // Records start at multiples of eight: one that has begun has at least its length in hand.
  const std::size_t expected = partial_.empty() ? skip_record_bytes_ : record_length_ - partial_.size();
  if (header.first_is_continuation != (expected != 0) ||
      (expected != 0 && header.remaining_bytes != expected)) {
    return fail(ErrorCode::damaged, "the WAL page at {} has {} bytes of a record, not {}", at,
                header.first_is_continuation ? header.remaining_bytes : 0, expected);
  }
  return {};
}

Result<void> WalRecordReader::feed_records(ByteView& bytes, WalRecordHandler& handler) {
  std::size_t in_page =
      std::min(static_cast<std::size_t>(wal_page_size - position_.value % wal_page_size), bytes.size());
  while (in_page != 0 && !ended_ && position_ >= skip_to_) {
    const Lsn before = position_;
    if (padding_ != 0) {
      const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(padding_, in_page));
      padding_ -= count;
      advance(bytes, count);
    } else if (skip_record_bytes_ != 0) {
      const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(skip_record_bytes_, in_page));
      skip_record_bytes_ -= count;
      advance(bytes, count);
      if (skip_record_bytes_ == 0) {
        padding_ = padding_after(position_);
        valid_to_ = position_ + padding_;
      }
    } else if (partial_.empty()) {
      PGS_CHECK(feed_record(bytes, in_page, handler));
    } else {
      PGS_CHECK(feed_partial(bytes, in_page, handler));
    }
    in_page -= static_cast<std::size_t>(position_ - before);
  }
  return {};
}

// At the start of a record: hands it on where it lies, or begins to collect it.
Result<void> WalRecordReader::feed_record(ByteView& bytes, std::size_t in_page, WalRecordHandler& handler) {
  record_start_ = position_;
  if (in_page >= sizeof(std::uint32_t)) {
    const auto length = load_little<std::uint32_t>(bytes.data());
    if (length == 0) {
      end();
      return {};
    }
    if (length >= wal_record_header_size_bytes && length <= in_page) {
      const ByteView record = bytes.first(length);
      PGS_CHECK(check_record_header(record.data()));
      advance(bytes, length);
      return emit(record, handler);
    }
  }
  return feed_partial(bytes, in_page, handler);
}

Result<void> WalRecordReader::feed_partial(ByteView& bytes, std::size_t in_page, WalRecordHandler& handler) {
  const auto fill_to = [&](std::size_t size) {
    const std::size_t count = std::min(size - partial_.size(), in_page);
    append(partial_, bytes.first(count));
    advance(bytes, count);
    in_page -= count;
    return partial_.size() == size;
  };
  constexpr std::size_t length_size = sizeof(std::uint32_t);
  if (partial_.size() < length_size) {
    if (!fill_to(length_size)) return {};
    record_length_ = load_little<std::uint32_t>(partial_.data());
    if (record_length_ == 0) {
      end();
      return {};
    }
    PGS_CHECK(check_length(record_length_));
  }
  if (partial_.size() < wal_record_header_size_bytes) {
    if (!fill_to(wal_record_header_size_bytes)) return {};
    PGS_CHECK(check_record_header(partial_.data()));
  }
  if (!fill_to(record_length_)) return {};
  Bytes record = std::move(partial_);
  partial_.clear();
  PGS_CHECK(emit(record, handler));
  if (record.capacity() <= keep_capacity_bytes) {
    record.clear();
    partial_ = std::move(record);
  }
  return {};
}

Result<void> WalRecordReader::check_length(std::uint32_t length) const {
  if (length < wal_record_header_size_bytes || length > wal_record_limit_bytes) {
    return fail(ErrorCode::damaged, "the WAL record at {} has a length of {}", record_start_, length);
  }
  return {};
}

// Before its body is waited for: that it is the record that belongs here, and not one left from older WAL.
Result<void> WalRecordReader::check_record_header(const std::byte* header) const {
  const Lsn previous{load_little<std::uint64_t>(header + 8)};
  const auto rmgr = load_little<std::uint8_t>(header + 17);
  const bool linked = previous_record_.valid() ? previous == previous_record_ : previous < record_start_;
  if (!linked || (rmgr > static_cast<std::uint8_t>(Rmgr::logical_message) && rmgr < 128)) {
    return fail(ErrorCode::damaged, "no WAL record that belongs there is at {}", record_start_);
  }
  return {};
}

// position_ is just after the record.
Result<void> WalRecordReader::emit(ByteView record, WalRecordHandler& handler) {
  if (compute_wal_record_crc(record) != load_little<std::uint32_t>(record.data() + 20)) {
    return fail(ErrorCode::damaged, "the WAL record at {} has a wrong checksum", record_start_);
  }
  auto parsed = parse_wal_record(record, major_version_, record_);
  if (!parsed) {
    return std::unexpected(
        std::move(parsed.error()).with_context(fmt::format("WAL record at {}", record_start_)));
  }
  padding_ = padding_after(position_);
  record_.start = record_start_;
  record_.end = position_ + padding_;
  if (record_.rmgr == Rmgr::xlog && record_.operation() == operation_switch) {
    const std::uint64_t segment = wal_segment_of({record_.end.value - 1}, segment_size_bytes_) + 1;
    record_.end = skip_to_ = wal_segment_start(segment, segment_size_bytes_);
    padding_ = 0;
  }
  previous_record_ = record_start_;
  valid_to_ = record_.end;
  return handler.record(record_);
}

}  // namespace pgstrata
