#include "capture/wal_segment_pipeline.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace pgstrata {

namespace {

constexpr int normal_level = 1;
constexpr int hurried_level = -3;
constexpr std::size_t hurry_above_pieces = 8;
// Where WAL comes slowly. A piece of 1 MiB takes some 13 ms of CPU instead of 1.5, and 13 % less room: so no more than a
// hundredth of one core, saved up to a minute's. Nor is there any hurry in a short burst, which costs an eighth of that.
// The wall clock will do: whatever it does, less or more is compressed well.
constexpr int patient_level = 9;
constexpr std::size_t patient_up_to_pieces = 4;
constexpr std::int64_t micros_per_patient_piece = 1'000'000;
constexpr std::int64_t micros_per_burst_piece = micros_per_patient_piece / 8;
constexpr std::int64_t saved_patience_micros = 60 * micros_per_patient_piece;

}  // namespace

struct WalSegmentPipeline::Segment {
  TimelineId timeline;
  Lsn start;
  std::deque<WalPiece> pieces;
  std::optional<WalSegmentSummary> summary;  // once it is finished
  std::vector<std::string> obsolete;
  bool in_work = false;
  std::optional<WalSegmentWriter> writer;  // of the thread that has it in work
};

WalSegmentPipeline::WalSegmentPipeline(WalPipelineOptions options) : options_(std::move(options)) {
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

WalSegmentPipeline::~WalSegmentPipeline() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void WalSegmentPipeline::begin(TimelineId timeline, Lsn start) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return segments_.size() < max_segments_in_flight || failure_; });
  segments_.push_back(std::make_unique<Segment>());
  segments_.back()->timeline = timeline;
  segments_.back()->start = start;
}

void WalSegmentPipeline::append(WalPiece piece) {
  std::unique_lock lock(mutex_);
  if (failure_) return;
  segments_.back()->pieces.push_back(std::move(piece));
  ++queued_pieces_;
  work_inline(lock);
  changed_.notify_all();
}

void WalSegmentPipeline::finish(WalSegmentSummary summary, std::vector<std::string> obsolete) {
  std::unique_lock lock(mutex_);
  if (failure_) return;
  segments_.back()->summary = std::move(summary);
  segments_.back()->obsolete = std::move(obsolete);
  work_inline(lock);
  changed_.notify_all();
}

void WalSegmentPipeline::abandon() {
  std::unique_lock lock(mutex_);
  if (failure_) return;
  auto& last = *segments_.back();
  queued_pieces_ -= last.pieces.size();
  last.pieces.clear();
  changed_.wait(lock, [&last] { return !last.in_work; });
  segments_.pop_back();
}

bool WalSegmentPipeline::anything_finished() const {
  return std::ranges::any_of(segments_, [](const auto& segment) { return segment->summary.has_value(); });
}

Result<std::size_t> WalSegmentPipeline::take_committed() {
  const std::lock_guard lock(mutex_);
  if (failure_) return std::unexpected(*failure_);
  return std::exchange(committed_, 0);
}

Result<bool> WalSegmentPipeline::wait_committed(std::optional<SteadyTime> deadline) {
  std::unique_lock lock(mutex_);
  const auto done = [this] { return failure_ || !anything_finished(); };
  if (!deadline) {
    changed_.wait(lock, done);
  } else if (!changed_.wait_until(lock, *deadline, done)) {
    return false;
  }
  if (failure_) return std::unexpected(*failure_);
  return true;
}

bool WalSegmentPipeline::ready(const Segment& segment, bool oldest) const {
  if (segment.in_work) return false;
  return !segment.pieces.empty() || (segment.summary && oldest);
}

WalSegmentPipeline::Segment* WalSegmentPipeline::next_ready() {
  if (failure_) return nullptr;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (ready(*segments_[i], i == 0)) return segments_[i].get();
  }
  return nullptr;
}

void WalSegmentPipeline::work() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (auto* segment = next_ready()) {
      step(lock, *segment);
    } else {
      changed_.wait(lock);
    }
  }
}

void WalSegmentPipeline::work_inline(std::unique_lock<std::mutex>& lock) {
  if (!threads_.empty()) return;
  while (auto* segment = next_ready()) step(lock, *segment);
}

void WalSegmentPipeline::step(std::unique_lock<std::mutex>& lock, Segment& segment) {
  segment.in_work = true;
  WalPiece piece;
  if (!segment.pieces.empty()) {
    piece = std::move(segment.pieces.front());
    segment.pieces.pop_front();
    --queued_pieces_;
  }
  const int level = piece == nullptr ? normal_level : next_level();
  lock.unlock();
  const bool committing = piece == nullptr;
  auto done = committing ? commit(segment) : store_piece(segment, piece->view(), level);
  piece.reset();
  lock.lock();
  segment.in_work = false;
  if (!done) {
    if (!failure_) failure_ = std::move(done).error();
    for (auto& other : segments_) other->pieces.clear();  // so that nobody waits for their memory
    queued_pieces_ = 0;
  } else if (committing) {
    const auto committed = std::move(segments_.front());
    segments_.pop_front();
    ++committed_;
    changed_.notify_all();
    lock.unlock();
    remove_obsolete(*committed);
    lock.lock();
    return;
  }
  changed_.notify_all();
}

int WalSegmentPipeline::next_level() {
  const auto now = options_.clock.now();
  const auto passed = patience_at_ ? std::max<std::int64_t>(0, now.micros - patience_at_->micros) : 0;
  patience_at_ = now;
  patience_micros_ =
      std::min(saved_patience_micros, patience_micros_ + std::min(passed, saved_patience_micros));
  const auto spend = [&](std::int64_t micros) {
    if (patience_micros_ < micros) return false;
    patience_micros_ -= micros;
    return true;
  };
  if (queued_pieces_ > hurry_above_pieces)
    return spend(micros_per_burst_piece) ? normal_level : hurried_level;
  if (queued_pieces_ > patient_up_to_pieces) return normal_level;
  return spend(micros_per_patient_piece) ? patient_level : normal_level;
}

Result<void> WalSegmentPipeline::store_piece(Segment& segment, ByteView piece, int level) const {
  if (!segment.writer) {
    PGS_TRY(segment.writer, WalSegmentWriter::create(options_.space, segment.timeline, segment.start,
                                                     options_.segment_bytes, options_.clock, level));
  }
  segment.writer->set_compression_level(level);
  return segment.writer->append(piece);
}

Result<void> WalSegmentPipeline::commit(Segment& segment) const {
  PGS_CHECK(options_.still_allowed());
  return segment.writer->commit(*segment.summary);
}

void WalSegmentPipeline::remove_obsolete(const Segment& segment) const {
  for (const auto& name : segment.obsolete) {
    // What stays behind is in nobody's way: the sealed segment goes before it, and the next receiver removes
    // it.
    if (const auto removed = options_.space.store().remove(options_.space.object_name(name)); !removed) {
      log_debug("{} stays behind: {}", name, removed.error().describe());
    }
  }
}

}  // namespace pgstrata
