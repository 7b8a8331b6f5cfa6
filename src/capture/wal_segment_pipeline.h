// Compresses, encrypts and stores full WAL segments while the next ones arrive.
//
// Segments are begun, filled and finished in order, piece by piece, by the receiving thread. Threads of the
// pipeline take the pieces: those of one segment in order, one at a time; several segments side by side. They
// are committed in order, so that what the repository holds never has a hole. Once a segment counts as
// committed, the objects that held parts of it (its tails) are removed; nobody waits for that.
//
// The public members belong to one thread, except that pieces come back from others.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "capture/wal_piece.h"
#include "catalog/wal_segment.h"
#include "repo/lease.h"

namespace pgstrata {

struct WalPipelineOptions {
  ClusterSpace space;
  std::uint32_t segment_bytes = 0;
  const Clock& clock;
  PublishingAllowed still_allowed;
  // 0: the calls that bring work do it themselves, in a fixed order.
  int threads = 2;
};

class WalSegmentPipeline {
 public:
  static constexpr std::size_t max_segments_in_flight = 3;

  explicit WalSegmentPipeline(WalPipelineOptions options);
  // What is not committed is dropped.
  ~WalSegmentPipeline();
  WalSegmentPipeline(const WalSegmentPipeline&) = delete;
  WalSegmentPipeline& operator=(const WalSegmentPipeline&) = delete;

  // The next segment. Waits while max_segments_in_flight are not committed yet.
  void begin(TimelineId timeline, Lsn start);
  // To the segment begun last.
  void append(WalPiece piece);
  // The segment begun last is whole; `obsolete` are the objects it makes superfluous.
  void finish(WalSegmentSummary summary, std::vector<std::string> obsolete);
  // Forgets the segment begun last, which is not finished.
  void abandon();

  // How many segments have been committed since the last call. Error: the first that the work met; nothing is
  // done after it.
  Result<std::size_t> take_committed();
  // Waits until all that were finished are committed; false when the deadline has passed before that. Errors:
  // as above.
  Result<bool> wait_committed(std::optional<SteadyTime> deadline);

 private:
  struct Segment;

  Segment* next_ready();
  bool ready(const Segment& segment, bool oldest) const;
  void work();
  // One piece, or the commit. The lock is released meanwhile.
  void step(std::unique_lock<std::mutex>& lock, Segment& segment);
  void work_inline(std::unique_lock<std::mutex>& lock);
  // Of compression, for the next piece.
  int next_level();
  Result<void> store_piece(Segment& segment, ByteView piece, int level) const;
  Result<void> commit(Segment& segment) const;
  void remove_obsolete(const Segment& segment) const;
  [[nodiscard]] bool anything_finished() const;

  const WalPipelineOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Segment>> segments_;  // guarded by mutex_, as are all below; oldest first
  std::size_t queued_pieces_ = 0;
  std::optional<Timestamp> patience_at_;  // when it was last counted
  std::int64_t patience_micros_ = 0;
  std::size_t committed_ = 0;
  std::optional<Error> failure_;
  bool closed_ = false;
  std::vector<std::thread> threads_;  // only constructor and destructor
};

}  // namespace pgstrata
