#include "retention/pack_compaction.h"

#include <algorithm>

#include "snapshot/live_chunks.h"
#include "snapshot/tree_mover.h"

namespace pgstrata {
namespace {

// Those that are reached by what is not published anew: it is held, lacks something, or was superseded before.
std::set<PackId> fixed_packs(const Holdings& holdings) {
  std::set<std::string> fixed;
  for (const Hold& hold : holdings.holds) fixed.insert(hold.snapshot);
  for (const auto& snapshot : holdings.list.snapshots) fixed.insert(snapshot.supersedes);
  std::set<PackId> packs;
  for (const auto& snapshot : holdings.incomplete) packs.insert(snapshot.packs.begin(), snapshot.packs.end());
  for (const auto& snapshot : holdings.list.snapshots) {
    if (fixed.contains(snapshot.id)) packs.insert(snapshot.packs.begin(), snapshot.packs.end());
  }
  return packs;
}

Result<std::set<PackId>> find_mostly_dead(const ClusterSpace& space, const Holdings& holdings,
                                          const Cancellation& cancellation, Compaction& compaction) {
  LiveChunks live(space, cancellation);
  for (const auto& snapshot : holdings.list.snapshots) PGS_CHECK(live.add(snapshot.tree));
  const auto fixed = fixed_packs(holdings);
  std::set<PackId> mostly_dead;
  std::uint64_t all_bytes = 0;
  for (const auto& [pack, size_bytes] : holdings.packs) {
    all_bytes += size_bytes;
    const std::uint64_t live_bytes = live.live_bytes(pack);
    const bool mostly = static_cast<double>(live_bytes) < mostly_dead_below * static_cast<double>(size_bytes);
    if (live_bytes == 0 || !mostly || fixed.contains(pack)) continue;
    mostly_dead.insert(pack);
    compaction.dead_bytes += size_bytes - live_bytes;
  }
  if (static_cast<double>(compaction.dead_bytes) < worthwhile_from * static_cast<double>(all_bytes))
    return std::set<PackId>();
  return mostly_dead;
}

bool reaches_any(const SnapshotRecord& snapshot, const std::set<PackId>& packs) {
  return std::ranges::any_of(snapshot.packs, [&](const PackId& pack) { return packs.contains(pack); });
}

}  // namespace

Result<Compaction> compact_packs(const ClusterSpace& space, const Holdings& holdings, const Clock& clock,
                                 const Cancellation& cancellation, const PublishingAllowed& still_allowed) {
  Compaction compaction;
  PGS_TRY(const auto leaving, find_mostly_dead(space, holdings, cancellation, compaction));
  if (leaving.empty()) return Compaction{};
  compaction.packs = leaving.size();
  PGS_TRY(const auto store, ChunkStore::open(space, clock));
  store->leave(leaving);
  TreeMover mover(*store, leaving, cancellation);
  std::vector<SnapshotRecord> moved;
  for (const auto& snapshot : holdings.list.snapshots) {
    if (!reaches_any(snapshot, leaving)) continue;
    PGS_TRY(auto tree, mover.move(snapshot.tree));
    SnapshotRecord& record = moved.emplace_back(snapshot);
    record.id = superseding_snapshot_id(snapshot.id);
    record.supersedes = snapshot.id;
    record.tree = tree.root;
    record.packs = std::move(tree.packs);
  }
  PGS_CHECK(mover.finish());
  for (const auto& record : moved) {
    PGS_CHECK(publish_snapshot(space, record, still_allowed));
    ++compaction.snapshots;
  }
  return compaction;
}

}  // namespace pgstrata
