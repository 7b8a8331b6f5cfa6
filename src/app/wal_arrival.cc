#include "app/wal_arrival.h"

#include "app/random_fraction.h"
#include "catalog/wal_reader.h"

namespace pgstrata {
namespace {

constexpr std::chrono::milliseconds poll_interval{500};
constexpr std::chrono::seconds silence_limit{60};
// Of a stream of our own: longer than it waits for its slot, of which it says more.
constexpr std::chrono::seconds own_silence_limit{120};
static_assert(own_silence_limit > WalReceiverTimings{}.slot_busy_limit);

// Up to where the WAL of the segment that holds the byte before `lsn` is known to be durable in the
// repository; its start when nothing of it is. What another stream has appended may not be synced yet: that
// shows when it appends the next, about a second later at most.
Result<Lsn> durable_end(const RegisteredCluster& cluster, TimelineId timeline, Lsn lsn) {
  PGS_TRY(const WalInventory inventory,
          WalInventory::load_durable(cluster.space, cluster.record.wal_segment_bytes));
  const Lsn start = inventory.segment_start({lsn.value - 1});
  const WalSegmentObjects* objects = inventory.find(timeline, start);
  if (objects == nullptr) return start;
  if (!objects->sealed.empty()) return start + inventory.segment_bytes();
  auto segment = read_wal_segment(cluster.space, inventory, timeline, start);
  if (segment.has_value()) return segment->durable_to;
  // It was sealed, and its tails removed, since the listing.
  if (segment.error().code() == ErrorCode::not_found) return start;
  return std::unexpected(std::move(segment).error());
}

std::string describe_holder(const std::optional<LeaseHolder>& holder) {
  if (!holder) return "the stream that ran";
  return fmt::format("the stream of process {} on host {}", holder->process.pid, holder->process.host_name);
}

}  // namespace

Result<std::unique_ptr<OwnStream>> OwnStream::start(const SourceWork& work) {
  // Its purpose tells a stream that comes meanwhile to wait.
  PGS_TRY(Lease lease, acquire_to_write(work.cluster.space, stream_lease_name, backup_lease_name, work.clock,
                                        {.cancellation = &work.cancellation}));
  return std::unique_ptr<OwnStream>(new OwnStream(work, std::move(lease)));
}

OwnStream::OwnStream(const SourceWork& work, Lease lease)
    : lease_(std::move(lease)), thread_([this, work] { run(work); }) {}

OwnStream::~OwnStream() {
  stop_.request();
  thread_.join();
}

void OwnStream::run(const SourceWork& work) {
  WalReceiver receiver({.space = work.cluster.space,
                        .cluster = work.cluster.record,
                        .url = work.url,
                        .clock = work.clock,
                        .cancellation = stop_,
                        .still_allowed = [this] { return lease_.check(); },
                        .random = random_fraction(),
                        .standing = work.standing,
                        .observer = &progress_});
  progress_.ended(receiver.run());
}

Result<WalArrival> WalArrival::start(const SourceWork& work) {
  WalArrival arrival(work);
  PGS_CHECK(arrival.take_over());
  return arrival;
}

Result<void> WalArrival::take_over() {
  auto own = OwnStream::start(work_);
  if (!own.has_value()) {
    if (own.error().code() == ErrorCode::busy) return {};
    return std::unexpected(std::move(own).error());
  }
  own_ = *std::move(own);
  return own_->progress().wait_until_connected(work_.cancellation, own_silence_limit);
}

Result<void> WalArrival::wait_until_durable(TimelineId timeline, Lsn lsn) {
  Lsn seen{};
  SteadyTime seen_at = work_.clock.steady();
  while (own_ == nullptr) {
    PGS_TRY(const Lsn end, durable_end(work_.cluster, timeline, lsn));
    if (end >= lsn) return {};
    PGS_TRY(const auto holder, lease_holder(work_.cluster.space, stream_lease_name));
    if (end > seen) {
      seen = end;
      seen_at = work_.clock.steady();
    } else if (holder && work_.clock.steady() - seen_at > silence_limit) {
      return std::unexpected(
          make_error(ErrorCode::unavailable,
                     "{} has stored no WAL of timeline {} for {} s; WAL up to {} is needed",
                     describe_holder(holder), timeline, silence_limit.count(), lsn)
              .with_hint("See what that stream says; when it is gone, run this again: a "
                         "backup then brings its own WAL."));
    }
    if (!holder) PGS_CHECK(take_over());
    if (own_ == nullptr && work_.cancellation.wait_for(poll_interval)) return work_.cancellation.check();
  }
  return own_->progress().wait_until_durable(lsn, work_.cancellation, own_silence_limit);
}

}  // namespace pgstrata
