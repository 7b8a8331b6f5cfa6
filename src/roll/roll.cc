#include "roll/roll.h"

#include <algorithm>

#include "base/log.h"
#include "branch/branch_files.h"
#include "catalog/consistent_time.h"
#include "catalog/coverage.h"
#include "restore/new_tablespaces.h"
#include "restore/start_restored.h"
#include "roll/hidden_branch.h"
#include "roll/overlay_store.h"
#include "roll/snapshot_tables.h"
#include "snapshot/file_tree_reader.h"
#include "snapshot/tablespace_rules.h"

namespace pgstrata {
namespace {

// Of all snapshots: what they refer to is not left over from an interrupted run.
std::set<PackId> referenced_packs(const SnapshotList& list) {
  std::set<PackId> packs;
  for (const auto& snapshot : list.snapshots) packs.insert(snapshot.packs.begin(), snapshot.packs.end());
  return packs;
}

Error being_removed(const ClusterSpace& space, const SnapshotRecord& snapshot) {
  return make_error(ErrorCode::unavailable, "packs of snapshot {} are gone or about to be removed",
                    snapshot.id)
      .with_hint(
          fmt::format("`pgstrata verify {}` says whether it is damaged; else try again.", space.name()));
}

Result<std::unique_ptr<ChunkStore>> open_chunk_store(const RollRequest& request,
                                                     const SnapshotRecord& previous) {
  PGS_TRY(auto store, ChunkStore::open(request.space, request.clock));
  for (const PackId& pack : previous.packs) {
    if (!store->has_pack(pack)) return std::unexpected(being_removed(request.space, previous));
  }
  PGS_TRY(const auto list, list_snapshots(request.space));
  PGS_TRY([[maybe_unused]] const auto adopted, store->adopt_unreferenced(referenced_packs(list)));
  // The nodes of the old tree: those that did not change are found again.
  FileTreeReader tree(request.space, previous.tree);
  PGS_CHECK(tree.for_each_node([&](const NodeRef& node) -> Result<void> {
    store->learn(node.tag, node.chunk);
    return {};
  }));
  return store;
}

RecoveryTarget recovery_target(const RollTarget& target) {
  return {.point = LsnTarget{target.checkpoint->checkpoint.lsn},
          .inclusive = true,
          .timeline = target.checkpoint->timeline};
}

Result<void> check_tablespaces(std::span<const NewTablespace> tablespaces, const RollTarget& target) {
  for (const auto& tablespace : tablespaces) {
    if (const auto fault = fault_of_location(tablespace.location)) {
      return fail(ErrorCode::unsupported, "the WAL makes tablespace {} at {:?}, which {}", tablespace.oid,
                  tablespace.location, *fault);
    }
    if (tablespace.lsn < target.checkpoint->checkpoint.redo) continue;
    // Recovery from the new snapshot would make it again, at its place on the source, whatever place its
    // content is restored to.
    return std::unexpected(
        make_error(ErrorCode::unavailable,
                   "tablespace {} was made at {:?} while the source's last checkpoint ran", tablespace.oid,
                   tablespace.location)
            .with_hint("The next checkpoint ends that: wait for it, or `pgstrata backup --checkpoint`."));
  }
  return {};
}

// PostgreSQL does not know the objects that its files are made of: where it cannot read WAL, all of it is
// read here to name them.
Result<ControlFile> recover(const RollRequest& request, const RollTarget& target, HiddenBranch& branch) {
  auto control = branch.recover(target.checkpoint->checkpoint.lsn, request.cancellation);
  if (control || control.error().code() != ErrorCode::failed) return control;
  PGS_CHECK(
      plan_sound_recovery(request.space, request.cluster, recovery_target(target), request.cancellation));
  return control;
}

Result<void> check_restartpoint(const ControlFile& control, const RollTarget& target) {
  if (control.state == ClusterState::shut_down_in_recovery &&
      control.redo == target.checkpoint->checkpoint.redo)
    return {};
  return fail(ErrorCode::failed, "recovery to the checkpoint at {} left \"{}\" with redo at {}, not at {}",
              target.checkpoint->checkpoint.lsn, to_string(control.state), control.redo,
              target.checkpoint->checkpoint.redo);
}

// What the branch's overlay holds, as a snapshot. Its mount is gone.
Result<StoredOverlay> store_branch(const RollRequest& request, const SnapshotRecord& previous,
                                   const HiddenBranch& branch, ChunkStore& store) {
  const auto& record = branch.record();
  const auto base = open_branch_files(open_snapshot_files(request.space, previous, {.read_ahead_extents = 0}),
                                      open_wal_files(request.space, {record.wal_segment_bytes, record.end_lsn,
                                                                     record.sealed_wal, record.wal_patches}));
  PGS_TRY(const auto overlay,
          Overlay::open(branch.home().overlay(), *base, {.durability = Durability::disposable}));
  PGS_TRY(auto stored,
          store_overlay(request.space, previous, *overlay, store, request.workers, request.cancellation));
  PGS_CHECK(overlay->sync_all());  // what the disk refused after the server's syncs was not what was read
  return stored;
}

SnapshotRecord record_of(const RollRequest& request, const RecoveryPlan& plan, const ControlFile& control,
                         Timestamp started) {
  SnapshotRecord record;
  record.id = new_snapshot_id(started);
  record.kind = SnapshotKind::rolled;
  record.started = started;
  record.system_identifier = request.cluster.system_identifier;
  record.server_version = plan.snapshot.server_version;
  record.wal_segment_bytes = plan.wal_segment_bytes;
  record.data_checksums = control.data_checksum_version != 0;
  record.timeline = control.timeline;
  record.start_lsn = control.redo;
  record.consistent_lsn = std::max(control.minimum_recovery_point, plan.expected_end_lsn);
  record.tablespaces = plan.snapshot.tablespaces;
  record.last_commit = plan.last_commit.valid() ? plan.last_commit : plan.snapshot.last_commit;
  record.bad_pages = plan.snapshot.bad_pages;
  record.bad_page_count = plan.snapshot.bad_page_count;
  return record;
}

// An estimate is not worth a snapshot.
Result<std::vector<SnapshotTable>> estimate_tables(const RollRequest& request, const SnapshotRecord& record) {
  auto tables = find_tables(request.space, record, request.cancellation);
  if (tables || tables.error().code() == ErrorCode::cancelled) return tables;
  log_warning("snapshot {} has no estimates of its tables: {}", record.id, tables.error().describe());
  return std::vector<SnapshotTable>();
}

}  // namespace

Result<std::optional<RollTarget>> find_roll_target(const ClusterSpace& space, const ClusterRecord& cluster,
                                                   const Cancellation& cancellation) {
  PGS_TRY(const auto coverage, compute_coverage(space, cluster.wal_segment_bytes, cancellation));
  const auto* range = newest_range(coverage);
  if (range == nullptr || range->snapshots.empty()) return std::nullopt;
  RollTarget target;
  const auto newest = std::ranges::find(coverage.snapshots, range->snapshots.back(), &SnapshotRecord::id);
  PGS_ASSERT(newest != coverage.snapshots.end());
  target.from = *newest;
  target.wal_end = range->to_lsn;
  PGS_TRY(auto inventory, WalInventory::load(space, cluster.wal_segment_bytes));
  PGS_CHECK(forget_mere_beginnings(space, inventory));
  PGS_TRY(const auto way, timeline_ancestry(space, range->timeline));
  ReplayMeter meter(space, std::move(inventory), way);
  PGS_TRY(const auto checkpoints, meter.checkpoints(target.from.start_lsn, range->to_lsn,
                                                    std::chrono::microseconds::max(), cancellation));
  PGS_TRY(const auto debt, meter.debt(target.from.start_lsn, range->to_lsn, cancellation));
  target.debt = debt.time;
  for (const auto& checkpoint : checkpoints) {
    if (checkpoint.checkpoint.lsn >= target.from.consistent_lsn) target.checkpoint = checkpoint;
  }
  return target;
}

Result<SnapshotRecord> roll_snapshot(const RollRequest& request, const RollTarget& target) {
  PGS_ASSERT(target.checkpoint.has_value());
  const auto enter = [&](RollPhase phase) {
    if (request.on_phase) request.on_phase(phase);
  };
  const auto started = request.clock.now();
  enter(RollPhase::recovering);
  PGS_TRY(const auto plan,
          plan_recovery(request.space, request.cluster, recovery_target(target), request.cancellation));
  PGS_TRY(const auto new_tablespaces, find_new_tablespaces(request.space, plan, request.cancellation));
  PGS_CHECK(check_tablespaces(new_tablespaces, target));
  PGS_TRY(const auto branch, HiddenBranch::make(request, plan, new_tablespaces));
  const auto begun = request.clock.steady();
  PGS_TRY(const auto control, recover(request, target, *branch));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(request.clock.steady() - begun);
  PGS_CHECK(check_restartpoint(control, target));
  PGS_TRY(const auto server_version, branch->server_version());
  PGS_CHECK(branch->unmount());
  enter(RollPhase::storing);
  PGS_TRY(const auto store, open_chunk_store(request, plan.snapshot));
  PGS_TRY(auto stored, store_branch(request, plan.snapshot, *branch, *store));
  auto record = record_of(request, plan, control, started);
  for (const auto& tablespace : new_tablespaces) {
    // One that was made while the old snapshot's checkpoint ran is in both.
    if (std::ranges::find(record.tablespaces, tablespace.oid, &TablespaceEntry::oid) ==
        record.tablespaces.end())
      record.tablespaces.push_back({tablespace.oid, tablespace.location});
  }
  std::erase_if(record.tablespaces, [&](const TablespaceEntry& tablespace) {
    return !stored.tablespaces.contains(tablespace.oid);
  });
  record.tree = stored.tree;
  record.packs = std::move(stored.packs);
  record.files = stored.files;
  record.total_bytes = stored.total_bytes;
  record.added_bytes = store->added_bytes();
  record.recovery = SnapshotRecovery{plan.snapshot.start_lsn, plan.expected_end_lsn, took, server_version};
  PGS_TRY(record.consistent_time, find_consistent_time(request.space, record, nullptr, request.cancellation));
  record.consistent_time = std::max(record.consistent_time, plan.snapshot.consistent_time);
  PGS_TRY(record.tables, estimate_tables(request, record));
  record.finished = request.clock.now();
  PGS_CHECK(publish_snapshot(request.space, record, request.may_publish));
  return record;
}

}  // namespace pgstrata
