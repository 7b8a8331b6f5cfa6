// How long PostgreSQL takes to replay a stretch of WAL, estimated from what the WAL's indexes count. Nothing
// is replayed for it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "base/cancellation.h"
#include "catalog/wal_run.h"

namespace pgstrata {

// What stock recovery gets through, as docs/performance.md ("Replay") has it: 200,000 to 280,000 records a
// second, and 430 MB/s of WAL that is nearly all full-page images. A record's images come on top of it.
inline constexpr std::uint64_t replayed_records_per_second = 250'000;
inline constexpr std::uint64_t replayed_page_image_bytes_per_second = 430'000'000;
// WAL without any images, the slowest there is: for bytes of which nothing is known.
inline constexpr std::uint64_t replayed_plain_bytes_per_second = 20'000'000;

// How many indexes are read for one stretch, unless the meter is told otherwise: 8 GiB of WAL in segments of
// the usual size.
inline constexpr std::size_t default_indexes_limit = 512;

[[nodiscard]] std::chrono::microseconds replay_time(const WalIndex& index);

struct ReplayDebt {
  std::chrono::microseconds time{0};
  // Not every index that counts was read, or could be: some segments were taken to be as their neighbours.
  bool sampled = false;
};

// A checkpoint that a server in recovery can make a restartpoint of.
struct CheckpointDebt {
  IndexedCheckpoint checkpoint;
  TimelineId timeline;
  std::chrono::microseconds time{0};  // to replay up to its record
};

// On the way to one timeline. Remembers what it has read, some 50 bytes a segment. Belongs to one thread.
//
// The work of a segment is taken to be spread evenly over its records. WAL that is not sealed yet has no
// index: its bytes count as those of the segment before it, and at the slowest rate where that has none.
class ReplayMeter {
 public:
  // `inventory` without mere beginnings (wal_run.h).
  ReplayMeter(const ClusterSpace& space, WalInventory inventory, const std::vector<TimelineStretch>& way,
              std::size_t indexes_limit = default_indexes_limit);

  // Which segments' indexes are read: the one at `from` and each that is a multiple of `every` behind it. The
  // others are taken to be as the last one before them that is: a burst between two goes unseen.
  struct Sampling {
    Lsn from;
    std::uint64_t every = 1;
  };
  // So that of [from, to) no more than indexes_limit are read.
  [[nodiscard]] Sampling sampling(Lsn from, Lsn to) const;

  // Of [from, to). A segment that cannot be read counts at the slowest rate. Errors: cancelled; those of the
  // store.
  Result<ReplayDebt> debt(Lsn from, Lsn to, const Cancellation& cancellation);
  // A part of a longer stretch, sampled together with it.
  Result<ReplayDebt> debt(Lsn from, Lsn to, const Sampling& sampling, const Cancellation& cancellation);

  // The checkpoints in [from, to) whose redo point lies behind `from`, by place: those that are reached
  // within `bound`, and the first one after that. Reads no further than that one, but all up to it, and the
  // records of the last segment where it is not sealed. One whose record began in the segment before an
  // unsealed one is not seen until that is sealed. Errors: cancelled; damaged or not_found, where WAL before
  // `to` cannot be read; those of the store.
  Result<std::vector<CheckpointDebt>> checkpoints(Lsn from, Lsn to, std::chrono::microseconds bound,
                                                  const Cancellation& cancellation);

 private:
  // The work of one segment, from its start to the end of its last record.
  struct Load {
    Lsn start;
    Lsn records_end;
    double micros = 0;

    [[nodiscard]] double between(Lsn from, Lsn to) const;
    [[nodiscard]] double micros_per_byte() const;
    [[nodiscard]] Load moved_to(Lsn other_start) const;
  };

  [[nodiscard]] std::optional<TimelineId> timeline_of(Lsn segment_start) const;
  [[nodiscard]] bool unsealed(Lsn segment_start) const;
  // By the segment's index; nothing where there is none to be read.
  Result<std::optional<Load>> known_load(Lsn segment_start);
  // Without an index.
  Result<Load> supposed_load(Lsn segment_start);
  struct Share {
    Load load;
    bool sampled = false;
  };
  Result<Share> share_of(Lsn segment_start, const Sampling& sampling);
  // Remembers its load. Errors: damaged, not_found.
  Result<WalSegmentSummary> summary_of(const WalRunSegment& segment);
  Result<WalIndex> index_of(const WalRunSegment& segment);
  Result<WalIndex> index_of_unsealed(const WalRunSegment& segment);

  ClusterSpace space_;
  WalInventory inventory_;
  std::vector<WalRun> runs_;
  std::size_t indexes_limit_;
  std::map<Lsn, Load> loads_;  // by the segment's start: of those whose index was read
};

}  // namespace pgstrata
