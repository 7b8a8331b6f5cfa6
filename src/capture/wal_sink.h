// Makes received WAL durable in the repository and knows how far it is.
//
// Knows nothing of the server: bytes go in, in order, on one timeline; durable() says how much of them a
// crash of anything leaves readable. Full segments are sealed by the pipeline; what of the newest segment
// must be safe before that is written to a tail as well. A tail is begun only when all segments before are
// sealed, so what the repository holds never has a hole. Memory is bounded, whatever the size of a segment.
//
// After an error the sink is of no further use: nothing more becomes durable, and receiving goes on with a
// new one from what the repository holds. Dropping it leaves the repository as a crash would. Belongs to one
// thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/wal_indexer.h"
#include "capture/wal_piece.h"
#include "capture/wal_resume.h"
#include "capture/wal_segment_pipeline.h"
#include "capture/wal_small_tails.h"
#include "catalog/wal_tail.h"

namespace pgstrata {

struct WalSinkOptions {
  ClusterSpace space;
  std::uint32_t segment_bytes = 0;
  int server_major = 0;
  SystemIdentifier system_identifier;
  const Clock& clock;
  PublishingAllowed still_allowed;
  int sealing_threads = 2;  // see WalPipelineOptions
};

class WalSink {
 public:
  // While nothing but marks comes, a fresh tail takes the place of one that has so many.
  static constexpr std::size_t marks_per_tail = 1000;

  // Goes on where `resume` says. Its bytes are durable in a tail of this sink when it returns, unless
  // segments are being sealed: those of a process that was killed may not have been synced.
  static Result<std::unique_ptr<WalSink>> open(const WalSinkOptions& options, const WalResume& resume);

  // The next bytes, from `at` on, sent at `sent` by the source's clock, if that is known; waits while too
  // much is not stored yet. Errors: failed, when `at` is not received(); those of the store.
  Result<void> accept(Lsn at, ByteView bytes, Timestamp sent = {});

  // Makes durable what has been received, and with it the mark, if there is one. Does nothing while segments
  // before are being sealed: they have to be first. Errors: those of the store.
  Result<void> flush(const std::optional<WalMark>& mark);

  // Takes note of segments that have been sealed. Never waits. Errors: those of the store.
  Result<void> poll();

  // Makes everything durable; false when the deadline has passed before that. Errors: as above.
  Result<bool> finish(std::optional<SteadyTime> deadline);

  // The timeline has ended where we are: makes everything durable and keeps the last segment's beginning as a
  // partial segment. The sink is then used up. Errors: as above.
  Result<void> end_timeline();

  [[nodiscard]] TimelineId timeline() const { return timeline_; }
  [[nodiscard]] Lsn received() const { return received_; }
  [[nodiscard]] Lsn durable() const;
  // Segments are being sealed: poll() will have news.
  [[nodiscard]] bool sealing() const { return !sealing_.empty(); }
  // Bytes that only a flush makes durable.
  [[nodiscard]] bool has_unflushed() const { return current_ && current_->durable_end < received_; }

 private:
  // The segment that is being received.
  struct Current {
    Lsn start;
    Lsn durable_end;  // bytes before it are safe in tails
    Lsn tailed_end;   // bytes before it are in tails
    std::optional<WalTailWriter> tail;
    Lsn tail_start;
    std::optional<WalSmallTails> small_tails;  // in its place, on a store without journals
    std::vector<std::string> obsolete;         // once the segment is sealed
    std::deque<WalPiece> held;                 // whole pieces, of which some bytes are not in a tail
    WalPiece piece;                            // the one being filled
  };

  WalSink(const WalSinkOptions& options, const WalResume& resume);

  Result<void> take_over(const WalResume& resume);
  Result<void> store(ByteView bytes);
  Result<WalPiece> take_piece();
  void begin_segment();
  void push_piece();
  void finish_segment();
  // All that is not in a tail yet. On a store without journals it is durable then, with the mark.
  Result<void> append_to_tail(const std::optional<WalMark>& mark);
  Result<void> put_small_tail(const std::optional<WalMark>& mark);
  [[nodiscard]] std::vector<ByteView> untailed() const;
  Result<void> write_tail(const std::optional<WalMark>& mark);
  // Of the current segment: obsolete once that is sealed.
  void note_tails_obsolete();
  // A tail that could not be written must not fill the disk with its attempts.
  void discard_tail();
  Result<void> check_allowed();
  [[nodiscard]] Lsn segment_end() const { return current_->start + options_.segment_bytes; }

  const WalSinkOptions options_;
  const bool has_journals_;
  const TimelineId timeline_;
  Lsn received_;
  Timestamp sent_;            // the newest of it, by the source's clock
  Timestamp complete_until_;  // by the last mark, as far as the clock has not stepped back behind it
  WalIndexer indexer_;
  WalPieces pieces_;
  std::optional<Current> current_;  // nothing between segments
  std::deque<Lsn> sealing_;  // of each segment that is whole but not committed: up to where it is durable
  std::optional<SteadyTime> allowed_at_;
  WalSegmentPipeline pipeline_;
};

}  // namespace pgstrata
