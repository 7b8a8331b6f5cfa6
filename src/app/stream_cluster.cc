#include "app/stream_cluster.h"

#include <algorithm>

#include "app/backup_cluster.h"
#include "app/random_fraction.h"
#include "base/log.h"
#include "catalog/coverage.h"

namespace pgstrata {
namespace {

constexpr std::chrono::seconds rebase_retry{30};
constexpr std::chrono::seconds damage_retry{5};
constexpr std::chrono::milliseconds gap_poll{200};
constexpr std::chrono::milliseconds lease_poll{500};

// Tells the caller and whoever waits for WAL.
class StreamObserver final : public WalReceiverObserver {
 public:
  StreamObserver(StreamProgress& progress, const StreamRequest& request)
      : progress_(progress), request_(request) {}

  void wal_status(const WalReceiverStatus& status) override {
    last_ = status;
    progress_.wal_status(status);
    if (request_.on_status) request_.on_status(status);
  }
  void wal_lost(const WalGap& gap) override { progress_.wal_lost(gap); }

  // Once the receiver has returned.
  [[nodiscard]] const WalReceiverStatus& last() const { return last_; }

 private:
  StreamProgress& progress_;
  const StreamRequest& request_;
  WalReceiverStatus last_;
};

// Snapshots there are, but none from which the newest WAL can be reached. A damaged end is looked at again:
// this stream receives it anew where the source still has it.
Result<bool> newest_wal_has_no_snapshot(const RegisteredCluster& cluster, const Cancellation& stop) {
  for (bool again = false;; again = true) {
    PGS_TRY(const auto coverage, compute_coverage(cluster.space, cluster.record.wal_segment_bytes, stop));
    if (coverage.ranges.empty() || newest_range(coverage) != nullptr) return false;
    if (again || coverage.damaged_wal.empty()) return true;
    if (stop.wait_for(damage_retry)) return false;
  }
}

// Makes base backups where WAL was lost, in a thread of its own, until it is dropped.
class Rebaser {
 public:
  Rebaser(const SourceWork& work, StreamProgress& progress)
      : work_{.cluster = work.cluster,
              .url = work.url,
              .standing = work.standing,
              .clock = work.clock,
              .cancellation = stop_},
        progress_(progress),
        thread_([this] { run(); }) {}
  ~Rebaser() {
    stop_.request();
    thread_.join();
  }
  Rebaser(const Rebaser&) = delete;
  Rebaser& operator=(const Rebaser&) = delete;

 private:
  void run() {
    if (!progress_.wait_until_connected(stop_)) return;
    const auto met_now = progress_.next_gap(std::chrono::milliseconds(0));
    met_now ? rebase(*met_now) : go_on_with_rebase();
    while (!stop_.requested()) {
      const auto gap = progress_.next_gap(gap_poll);
      if (gap) rebase(*gap);
    }
  }

  // The process that met the gap may have ended before its base backup did.
  void go_on_with_rebase() {
    const auto interrupted = newest_wal_has_no_snapshot(work_.cluster, stop_);
    if (stop_.requested()) return;
    if (!interrupted) {
      log_warning("whether a base backup is due cannot be told: {}", interrupted.error().describe());
    } else if (*interrupted) {
      log_warning(
          "no snapshot can use the newest WAL: coverage has a gap before it; making a new base backup");
      make_base_backup();
    }
  }

  void rebase(const WalGap& gap) {
    log_warning("WAL from {} to {} is lost ({}): coverage has a gap there; making a new base backup",
                gap.from, gap.to, gap.reason);
    make_base_backup();
  }

  void make_base_backup() {
    while (!stop_.requested()) {
      const auto snapshot = backup_beside_stream(work_, progress_);
      if (snapshot.has_value()) {
        log_info("snapshot {} is made: coverage goes on from {}", snapshot->id, snapshot->consistent_time);
        return;
      }
      if (snapshot.error().code() == ErrorCode::cancelled) return;
      log_error("the base backup after lost WAL failed and is tried again in {} s: {}", rebase_retry.count(),
                snapshot.error().describe());
      stop_.wait_for(rebase_retry);
    }
  }

  Cancellation stop_;
  SourceWork work_;
  StreamProgress& progress_;
  std::thread thread_;
};

// Takes the stream's lease. A backup that receives the WAL it needs by itself holds it for a while: stream
// and backup belong together, so that is waited for. Error: busy, when another stream holds it.
Result<Lease> take_lease(const SourceWork& work) {
  for (bool said = false;; said = true) {
    auto lease = acquire_to_write(work.cluster.space, stream_lease_name, stream_lease_name, work.clock,
                                  {.cancellation = &work.cancellation});
    if (lease || lease.error().code() != ErrorCode::busy) return lease;
    PGS_TRY(const auto holder, lease_holder(work.cluster.space, stream_lease_name));
    if (holder && holder->purpose != backup_lease_name) return lease;
    if (holder && !said) {
      log_info(
          "the backup of process {} receives the WAL it needs itself: the stream begins when that is done",
          holder->process.pid);
    }
    work.cancellation.wait_for(lease_poll);
    PGS_CHECK(work.cancellation.check());
  }
}

}  // namespace

Result<StreamOutcome> stream_cluster(const SourceWork& work, const StreamRequest& request) {
  const auto lease = take_lease(work);
  if (!lease && lease.error().code() == ErrorCode::cancelled) return StreamOutcome{};
  if (!lease) return std::unexpected(lease.error());
  warn_where_one_must_write(work.cluster.space.store());
  StreamProgress progress;
  StreamObserver observer(progress, request);
  const Rebaser rebaser(work, progress);
  std::optional<Roller> roller;
  if (const auto& rolling = request.rolling)
    roller.emplace(work, rolling->repository, rolling->state_directory, rolling->pacing, progress);
  WalReceiver receiver({.space = work.cluster.space,
                        .cluster = work.cluster.record,
                        .url = work.url,
                        .clock = work.clock,
                        .cancellation = work.cancellation,
                        .still_allowed = [&lease] { return lease->check(); },
                        .random = random_fraction(),
                        .until = request.until,
                        .standing = work.standing,
                        .observer = &observer});
  const auto outcome = receiver.run();
  progress.ended(outcome);
  if (!outcome.has_value()) return std::unexpected(outcome.error());
  return StreamOutcome{.last = observer.last()};
}

}  // namespace pgstrata
