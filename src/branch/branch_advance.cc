// A read-only branch is a standby that waits for WAL: it is stopped, shown more, and started again.
#include <algorithm>

#include "branch/branch_setup.h"
#include "branch/left_server.h"
#include "branch/mount_process.h"
#include "pg/format/wal_name.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

Error not_forward(const BranchRecord& record, std::string_view why) {
  return make_error(ErrorCode::usage, "branch \"{}\" cannot advance: {}", record.name, why)
      .with_hint("`pgstrata branch reset` takes it to any moment, and what was written in it goes.");
}

Result<void> check_forward(const BranchRecord& record, const RecoveryPlan& plan) {
  if (!record.read_only)
    return std::unexpected(
        not_forward(record, "it was opened for writes, and is a history of its own by now"));
  if (plan.snapshot.id != record.snapshot)
    return std::unexpected(not_forward(record, "its snapshot is gone"));
  if (plan.expected_end_lsn < record.end_lsn) {
    return std::unexpected(not_forward(
        record, fmt::format("it is at {}, and {} lies before that", record.end_lsn, plan.expected_end_lsn)));
  }
  // As far as it has come, the way must be the same.
  for (const auto& segment : record.wal) {
    if (segment.start + record.wal_segment_bytes >= record.end_lsn) continue;
    if (std::ranges::find(plan.segments, segment) == plan.segments.end())
      return std::unexpected(not_forward(record, "that moment is on another timeline"));
  }
  return {};
}

// A file of the branch's own, not shown from the repository.
bool is_file(const BranchRecord& record, const RecoverySegment& segment) {
  return std::ranges::find(record.wal, segment) != record.wal.end() &&
         std::ranges::find(record.sealed_wal, segment) == record.sealed_wal.end();
}

// Files of WAL that end where the branch did so far: those that are not shown from the repository.
Result<void> remove_partial_wal(const BranchHome& home, const BranchRecord& before) {
  for (const auto& segment : before.wal) {
    if (segment.start + before.wal_segment_bytes < before.end_lsn) continue;
    if (!is_file(before, segment)) continue;
    const auto name =
        wal_segment_name({segment.timeline, wal_segment_of(segment.start, before.wal_segment_bytes)},
                         before.wal_segment_bytes);
    PGS_CHECK(remove_file_if_there(home.wal() / name));
  }
  return {};
}

// And leaves its files mounted.
Result<void> stop_server_alone(const ClusterSpace& space, const BranchHome& home, const BranchRecord& record,
                               const Cancellation& cancellation) {
  PGS_TRY(const bool mounted, mount_process_runs(home));
  if (!mounted) return mount_branch(space, home, record, cancellation);
  PGS_CHECK(stop_compute(home, StopMode::fast, std::chrono::minutes(5)));
  return end_left_server(home);
}

}  // namespace

Result<BranchRecord> advance_branch(const ClusterSpace& space, const BranchHome& home,
                                    const RecoveryPlan& plan, const ComputeOptions& options,
                                    const Cancellation& cancellation) {
  PGS_TRY(const auto lock, lock_branch(home));
  PGS_TRY(const auto before, get_branch_record(home));
  PGS_CHECK(check_forward(before, plan));
  if (!before.recovered) {
    return std::unexpected(
        make_error(ErrorCode::failed, "branch \"{}\" never came to its moment", before.name)
            .with_hint("Start it first: `pgstrata branch start`."));
  }
  PGS_TRY(const auto installation, ServerInstallation::find(static_cast<int>(before.server_version / 10000)));
  auto record = before;
  PGS_TRY(const auto tablespaces, find_new_tablespaces(space, plan, cancellation));
  PGS_CHECK(set_plan(record, space, plan, tablespaces));
  record.wal_settled_to = before.wal_settled_to;
  // What was a file stays one, whole or not: its name hides what the repository has by now.
  std::erase_if(record.sealed_wal, [&](const RecoverySegment& segment) { return is_file(before, segment); });
  PGS_CHECK(stop_server_alone(space, home, before, cancellation));
  PGS_CHECK(remove_partial_wal(home, before));
  PGS_CHECK(stop_mount_process(home, false));
  PGS_CHECK(put_branch_record(home, record));
  PGS_CHECK(bring_branch_back(space, home, record, installation, options, cancellation));
  return record;
}

}  // namespace pgstrata
