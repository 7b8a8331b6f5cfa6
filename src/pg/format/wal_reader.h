// WAL as it streams in, record by record.
//
// Source: src/backend/access/transam/xlogreader.c. Fed bytes from an LSN on, in pieces of any size, over
// pages and segments. The LSN is either the start of a record (inside a page) or the start of a page; in the
// latter case the rest of a record begun before is passed over. What it checks: page headers (magic, address,
// system identifier, segment size, timelines that do not fall), the chain of records, lengths and CRCs.
//
// A record that lies whole in one piece and one page is handed on where it lies; others are put together in a
// buffer that grows only as bytes arrive. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "pg/format/wal_page.h"
#include "pg/format/wal_record.h"

namespace pgstrata {

class WalRecordHandler {
 public:
  virtual ~WalRecordHandler() = default;
  // Called as soon as the record's last byte has arrived, in order. The record and all it refers to are good
  // until this returns. An error stops the reader and is returned by feed.
  virtual Result<void> record(const WalRecord& record) = 0;
};

struct WalReaderOptions {
  Lsn start{};
  std::uint32_t segment_size_bytes = 0;
  int major_version = 0;  // needed when start is inside a page; else 0: learn it from the first page
  SystemIdentifier system_identifier{};  // invalid: whatever the first segment says
};

class WalRecordReader {
 public:
  // Error: usage, when the options contradict the format.
  static Result<WalRecordReader> create(const WalReaderOptions& options);

  // Errors: damaged, naming the LSN, when the bytes are not what WAL can hold there; valid_to() then says how
  // far they were good (in a segment file that the server has recycled this is how the WAL ends). Whatever
  // the handler says. After an error the reader must not be fed again.
  Result<void> feed(ByteView bytes, WalRecordHandler& handler);

  // Of the next byte to be fed.
  [[nodiscard]] Lsn position() const { return position_; }
  // The end of the last whole record; the start where there was none.
  [[nodiscard]] Lsn valid_to() const { return valid_to_; }
  // Zeros were met where a record or page should be: the WAL ends at valid_to(). What is fed after is passed
  // over.
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] int major_version() const { return major_version_; }

 private:
  explicit WalRecordReader(const WalReaderOptions& options);

  [[nodiscard]] bool at_page_header() const {
    return header_filled_ != 0 || position_.value % wal_page_size == 0;
  }
  void advance(ByteView& bytes, std::size_t count) {
    bytes = bytes.subspan(count);
    position_ += count;
  }
  Result<void> feed_page_header(ByteView& bytes);
  Result<void> check_page_header(const WalPageHeader& header, Lsn at);
  Result<void> begin_page(const WalPageHeader& header, Lsn at);
  Result<void> feed_records(ByteView& bytes, WalRecordHandler& handler);
  Result<void> feed_record(ByteView& bytes, std::size_t in_page, WalRecordHandler& handler);
  Result<void> feed_partial(ByteView& bytes, std::size_t in_page, WalRecordHandler& handler);
  Result<void> check_length(std::uint32_t length) const;
  Result<void> check_record_header(const std::byte* header) const;
  Result<void> emit(ByteView record, WalRecordHandler& handler);
  void end();

  std::uint32_t segment_size_bytes_;
  SystemIdentifier system_identifier_;
  int major_version_;
  TimelineId timeline_;
  Lsn start_;
  Lsn position_;
  Lsn valid_to_;
  Lsn previous_record_;  // its start; invalid: not known yet
  Lsn skip_to_;          // bytes before it say nothing: the rest of a switched segment
  bool ended_ = false;

  std::uint32_t skip_record_bytes_ = 0;  // of a record begun before the start
  std::uint32_t padding_ = 0;            // up to the next multiple of eight

  Lsn record_start_;
  std::uint32_t record_length_ = 0;  // of the one in partial_, known once it has four bytes
  Bytes partial_;

  std::array<std::byte, wal_long_page_header_size_bytes> header_{};
  std::size_t header_filled_ = 0;

  WalRecord record_;
};

}  // namespace pgstrata
