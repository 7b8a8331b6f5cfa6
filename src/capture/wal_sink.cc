#include "capture/wal_sink.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "capture/wal_marks.h"
#include "catalog/wal_reader.h"
#include "storage/brief_attempts.h"

namespace pgstrata {

namespace {

// With the pieces in the segment writers and the compressors' buffers this stays within 32 MiB.
constexpr std::size_t piece_limit = 22;
constexpr std::chrono::seconds allowed_check_interval{1};

WalIndexerOptions indexer_options(const WalSinkOptions& options, const WalResume& resume) {
  return {.segment_bytes = options.segment_bytes,
          .server_major = options.server_major,
          .system_identifier = options.system_identifier,
          .timeline = resume.timeline,
          .segment_start = resume.segment_start,
          .latest_transaction_end = resume.latest_transaction_end,
          .last_break = resume.last_break,
          .reaches_to = resume.reaches_to};
}

}  // namespace

WalSink::WalSink(const WalSinkOptions& options, const WalResume& resume)
    : options_(options),
      has_journals_(options.space.store().capabilities().journals),
      timeline_(resume.timeline),
      received_(resume.segment_start),
      sent_(resume.sent),
      complete_until_(std::max(resume.complete_until, resume.mark.time)),
      indexer_(indexer_options(options, resume), resume.index_from()),
      pieces_(piece_limit),
      pipeline_({options.space, options.segment_bytes, options.clock, options.still_allowed,
                 options.sealing_threads}) {}

Result<std::unique_ptr<WalSink>> WalSink::open(const WalSinkOptions& options, const WalResume& resume) {
  std::unique_ptr<WalSink> sink(new WalSink(options, resume));
  for (ByteView rest = resume.record_beginning; !rest.empty();) {
    const auto in_segment =
        options.segment_bytes - (resume.segment_start.value - rest.size()) % options.segment_bytes;
    const auto part = rest.first(std::min<std::size_t>(rest.size(), in_segment));
    sink->indexer_.feed(part);
    rest = rest.subspan(part.size());
  }
  if (resume.bytes.empty() && resume.obsolete.empty()) return sink;
  sink->begin_segment();
  sink->current_->obsolete = resume.obsolete;
  PGS_CHECK(sink->accept(resume.segment_start, resume.bytes));
  if (!resume.bytes.empty()) PGS_CHECK(sink->take_over(resume));
  return sink;
}

// The bytes go into a tail of our own: those before may never have been synced, and each restart would leave
// another copy of the segment's beginning.
Result<void> WalSink::take_over(const WalResume& resume) {
  PGS_CHECK(flush(resume.mark.time.valid() ? std::optional(resume.mark) : std::nullopt));
  if (!current_ || has_unflushed()) return {};  // whole: it is being sealed
  for (const auto& name : std::exchange(current_->obsolete, {})) {
    PGS_CHECK(options_.space.store().remove(options_.space.object_name(name)));
  }
  return {};
}

Lsn WalSink::durable() const {
  if (!sealing_.empty()) return sealing_.front();
  return current_ ? std::min(current_->durable_end, received_) : received_;
}

Result<void> WalSink::accept(Lsn at, ByteView bytes, Timestamp sent) {
  if (at != received_) {
    return fail(ErrorCode::failed, "the server sent WAL from {} on where {} was due", at, received_);
  }
  if (sent.valid()) {
    sent_ = sent;
    // The clock that a mark was made by may have stepped back since: what it says now holds.
    complete_until_ = std::min(complete_until_, sent - WalMarks::margin);
  }
  while (!bytes.empty()) {
    if (!current_) begin_segment();
    const auto part = bytes.first(std::min<std::size_t>(bytes.size(), segment_end() - received_));
    indexer_.feed(part);
    PGS_CHECK(store(part));
    if (received_ == segment_end()) finish_segment();
    bytes = bytes.subspan(part.size());
  }
  return {};
}

void WalSink::begin_segment() {
  pipeline_.begin(timeline_, received_);
  current_.emplace();
  current_->start = received_;
  current_->durable_end = received_;
  current_->tailed_end = received_;
}

Result<void> WalSink::store(ByteView bytes) {
  while (!bytes.empty()) {
    if (!current_->piece) {
      PGS_TRY(current_->piece, take_piece());
    }
    auto& piece = *current_->piece;
    const auto part = bytes.first(std::min(bytes.size(), piece.room()));
    piece.append(part);
    received_ += part.size();
    bytes = bytes.subspan(part.size());
    if (piece.room() == 0) push_piece();
  }
  return {};
}

Result<WalPiece> WalSink::take_piece() {
  if (auto piece = pieces_.try_take()) return piece;
  if (current_->held.empty()) return pieces_.take();
  // Too much of a large segment waits for a flush that has not been due yet.
  PGS_CHECK(pipeline_.wait_committed(std::nullopt));
  PGS_CHECK(poll());
  PGS_CHECK(append_to_tail(std::nullopt));
  return pieces_.take();
}

void WalSink::push_piece() {
  if (received_ > current_->tailed_end) current_->held.push_back(current_->piece);
  pipeline_.append(std::move(current_->piece));
  current_->piece.reset();
}

void WalSink::finish_segment() {
  if (current_->piece) push_piece();
  note_tails_obsolete();
  sealing_.push_back(current_->durable_end);
  pipeline_.finish(indexer_.seal(received_, sent_, complete_until_), std::move(current_->obsolete));
  current_.reset();
}

void WalSink::note_tails_obsolete() {
  if (current_->tail) current_->obsolete.push_back(current_->tail->name());
  if (!current_->small_tails) return;
  std::ranges::move(current_->small_tails->names(), std::back_inserter(current_->obsolete));
}

// From tailed_end on, as the pieces lie in memory.
std::vector<ByteView> WalSink::untailed() const {
  std::vector<ByteView> parts;
  std::uint64_t left = received_ - current_->tailed_end;
  const auto take = [&](const Buffer& piece) {
    const auto part = piece.view().last(std::min<std::size_t>(piece.size(), left));
    left -= part.size();
    if (!part.empty()) parts.push_back(part);
  };
  // The newest first, as it is known where that ends.
  if (current_->piece) take(*current_->piece);
  for (auto piece = current_->held.rbegin(); piece != current_->held.rend(); ++piece) take(**piece);
  std::ranges::reverse(parts);
  return parts;
}

Result<void> WalSink::append_to_tail(const std::optional<WalMark>& mark) {
  if (!has_journals_) {
    PGS_CHECK(put_small_tail(mark));
  } else {
    if (!current_->tail) {
      PGS_CHECK(check_allowed());
      PGS_TRY(auto tail,
              WalTailWriter::create(options_.space, timeline_, current_->tailed_end, options_.segment_bytes));
      current_->tail.emplace(std::move(tail));
      current_->tail_start = current_->tailed_end;
    }
    for (const auto part : untailed()) PGS_CHECK(current_->tail->append(part));
    if (mark) PGS_CHECK(current_->tail->mark(*mark));
  }
  current_->held.clear();
  current_->tailed_end = received_;
  return {};
}

Result<void> WalSink::put_small_tail(const std::optional<WalMark>& mark) {
  if (!current_->small_tails) {
    current_->small_tails.emplace(options_.space, timeline_, options_.segment_bytes, options_.clock);
  }
  PGS_CHECK(check_allowed());
  {
    const BriefAttempts brief(publishing_limit);
    PGS_CHECK(current_->small_tails->put(current_->tailed_end, untailed(), mark));
  }
  // As for those that grow: see write_tail.
  PGS_CHECK(check_allowed());
  current_->durable_end = received_;
  return {};
}

Result<void> WalSink::check_allowed() {
  const auto now = options_.clock.steady();
  if (allowed_at_ && now - *allowed_at_ < allowed_check_interval) return {};
  PGS_CHECK(options_.still_allowed());
  allowed_at_ = now;
  return {};
}

Result<void> WalSink::flush(const std::optional<WalMark>& mark) {
  PGS_CHECK(poll());
  if (sealing() || (!has_unflushed() && !mark)) return {};
  PGS_CHECK(check_allowed());
  if (!current_) begin_segment();
  auto written = write_tail(mark);
  if (!written) discard_tail();
  return written;
}

Result<void> WalSink::write_tail(const std::optional<WalMark>& mark) {
  std::string superseded;
  if (current_->tail && !has_unflushed() && current_->tail->marks() >= marks_per_tail) {
    const bool has_bytes = current_->tail->end() > current_->tail_start;
    (has_bytes ? current_->obsolete.emplace_back() : superseded) = current_->tail->name();
    current_->tail.reset();
  }
  PGS_CHECK(append_to_tail(mark));
  if (has_journals_) PGS_CHECK(current_->tail->sync());
  // While the store kept us waiting, another receiver may have taken over, read the tail as it was before and
  // be about to remove it.
  PGS_CHECK(check_allowed());
  current_->durable_end = received_;
  if (mark) complete_until_ = std::max(complete_until_, mark->time);
  return superseded.empty() ? Result<void>()
                            : options_.space.store().remove(options_.space.object_name(superseded));
}

void WalSink::discard_tail() {
  if (!current_->tail || current_->durable_end > current_->tail_start) return;
  const auto name = options_.space.object_name(current_->tail->name());
  if (const auto removed = options_.space.store().remove(name); !removed) {
    log_debug("{} stays behind: {}", name, removed.error().describe());
  }
}

Result<void> WalSink::poll() {
  PGS_TRY(auto committed, pipeline_.take_committed());
  for (; committed > 0; --committed) sealing_.pop_front();
  return {};
}

Result<bool> WalSink::finish(std::optional<SteadyTime> deadline) {
  PGS_TRY(const bool sealed, pipeline_.wait_committed(deadline));
  PGS_CHECK(flush(std::nullopt));
  const bool tailed =
      !sealing() && current_ && current_->tail && current_->durable_end > current_->tail_start;
  if (tailed) PGS_CHECK(current_->tail->vouch());
  return sealed;
}

Result<void> WalSink::end_timeline() {
  PGS_CHECK(finish(std::nullopt));
  if (!current_) return {};
  PGS_CHECK(options_.still_allowed());
  pipeline_.abandon();
  if (received_ == current_->start) return {};
  note_tails_obsolete();
  PGS_TRY(const auto inventory, WalInventory::load(options_.space, options_.segment_bytes));
  // What others had received beyond where the way leaves this timeline is kept, as far as it can be read.
  PGS_TRY(const auto content,
          read_wal_segment(options_.space, inventory, timeline_, current_->start, received_));
  const Lsn end = content.start + content.bytes.size();
  if (end < received_)
    return fail(ErrorCode::damaged, "the WAL tails before {} cannot be read back", received_);
  indexer_.feed(ByteView(content.bytes).subspan(received_ - content.start));
  PGS_TRY(auto writer, WalSegmentWriter::create_partial(options_.space, timeline_, current_->start,
                                                        options_.segment_bytes, options_.clock, 3));
  PGS_CHECK(writer.append(content.bytes));
  PGS_CHECK(writer.commit(indexer_.seal(end, sent_, complete_until_)));
  for (const auto& name : current_->obsolete) {
    if (!name.ends_with(".partial"))
      PGS_CHECK(options_.space.store().remove(options_.space.object_name(name)));
  }
  current_.reset();
  return {};
}

}  // namespace pgstrata
