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
    give_up(reader.error().describe());
  }
}

void WalIndexer::give_up(const std::string& why) {
  reader_.reset();
  log_error(
      "the WAL of timeline {} near {} is damaged on the source: {}; it is kept as received, but recovery "
      "will "
      "stop there",
      options_.timeline, position_, why);
}

void WalIndexer::feed(ByteView bytes) {
  const bool segment_begins = position_.value % options_.segment_bytes == 0;
  if (!reader_ && segment_begins) start_reader(position_);
  position_ += bytes.size();
  if (!reader_) return;
  if (const auto fed = reader_->feed(bytes, builder_); !fed) {
    give_up(fed.error().describe());
  } else if (reader_->ended()) {
    give_up("zeros where a record should be");
  }
}

WalSegmentSummary WalIndexer::seal(Lsn end) {
  WalSegmentSummary summary;
  summary.system_identifier = options_.system_identifier;
  summary.timeline = options_.timeline;
  summary.index = builder_.seal_segment(end);
  summary.start_lsn = summary.index.start;
  summary.end_lsn = end;
  options_.latest_transaction_end = std::max(options_.latest_transaction_end, summary.index.last_end_time);
  summary.latest_transaction_end = options_.latest_transaction_end;
  return summary;
}

}  // namespace pgstrata
