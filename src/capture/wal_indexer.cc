#include "capture/wal_indexer.h"

#include <algorithm>

#include "base/log.h"

namespace pgstrata {

WalIndexer::WalIndexer(const WalIndexerOptions& options, Lsn from)
    : options_(options), position_(from), builder_(options.segment_start) {
  start_reader(from);
}

void WalIndexer::start_reader(Lsn at) {
  auto reader = WalRecordReader::create({.start = at,
                                         .segment_size_bytes = options_.segment_bytes,
                                         .major_version = options_.server_major,
                                         .system_identifier = options_.system_identifier});
  if (reader) {
    reader_.emplace(*std::move(reader));
  } else {
    give_up(reader.error().describe(), at);
  }
}

void WalIndexer::give_up(const std::string& why, Lsn valid_to) {
  reader_.reset();
  // position_ is the end of what was fed, which is of one segment.
  const Lsn segment{(position_.value - 1) - (position_.value - 1) % options_.segment_bytes};
  options_.last_break = {valid_to, segment + options_.segment_bytes};
  log_error(
      "the WAL of timeline {} from {} on is damaged on the source: {}; it is kept as received, but recovery "
      "stops there: `pgstrata backup --base` makes a new beginning",
      options_.timeline, valid_to, why);
}

void WalIndexer::feed(ByteView bytes) {
  const bool segment_begins = position_.value % options_.segment_bytes == 0;
  if (!reader_ && segment_begins) start_reader(position_);
  position_ += bytes.size();
  if (!reader_) return;
  if (const auto fed = reader_->feed(bytes, builder_); !fed) {
    give_up(fed.error().describe(), reader_->valid_to());
  } else if (reader_->ended()) {
    give_up("zeros where a record should be", reader_->valid_to());
  }
}

WalSegmentSummary WalIndexer::seal(Lsn end, Timestamp sent, Timestamp complete_until) {
  WalSegmentSummary summary;
  summary.system_identifier = options_.system_identifier;
  summary.timeline = options_.timeline;
  summary.index = builder_.seal_segment(end);
  summary.start_lsn = summary.index.start;
  summary.end_lsn = end;
  options_.latest_transaction_end = std::max(options_.latest_transaction_end, summary.index.last_end_time);
  summary.latest_transaction_end = options_.latest_transaction_end;
  summary.last_break = options_.last_break;
  summary.sent = sent;
  if (sent.valid()) {
    options_.reaches_to =
        std::max(options_.reaches_to, std::min(summary.index.last_end_time, sent + believed_ahead));
  }
  summary.reaches_to = options_.reaches_to;
  summary.complete_until = complete_until;
  return summary;
}

}  // namespace pgstrata
