#include "retention/prune.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/condemned.h"
#include "storage/brief_attempts.h"

namespace pgstrata {
namespace {

// After that long every store lists what was published before.
constexpr std::chrono::hours listing_grace{1};

class Prune {
 public:
  Prune(const ClusterSpace& space, const PruneRequest& request) : space_(space), request_(request) {}

  Result<PruneReport> run() {
    PGS_TRY(const Holdings holdings, load());
    report_.before = holdings.coverage;
    PGS_TRY(report_.plan, plan_prune(space_, holdings, request_.policy, request_.cancellation));
    if (request_.dry_run) return std::move(report_);
    PGS_CHECK(carry_out(report_.plan));
    if (!report_.plan.doomed_snapshots().empty() && report_.waits_for.empty()) PGS_CHECK(compact());
    for (const Hold& hold : holdings.ended_holds)
      PGS_CHECK(remove_hold(space_.store(), space_.name(), hold.id));
    PGS_TRY(report_.plan.after, compute_coverage(space_, request_.wal_segment_bytes, request_.cancellation));
    PGS_CHECK(check_kept(report_.plan, report_.before, report_.plan.after));
    return std::move(report_);
  }

 private:
  Result<Holdings> load() {
    PGS_TRY(Holdings holdings,
            load_holdings(space_, request_.wal_segment_bytes, request_.clock, request_.cancellation));
    now_ = holdings.now;
    sizes_ = holdings.packs;
    return holdings;
  }

  Result<void> carry_out(const PrunePlan& plan) {
    if (!plan.empty()) PGS_CHECK(condemn(plan));
    return sweep();
  }

  Result<void> compact() {
    PGS_TRY(const Holdings left, load());
    PGS_TRY(report_.compaction,
            compact_packs(space_, left, request_.clock, request_.cancellation, request_.still_allowed));
    if (report_.compaction.snapshots == 0) return {};
    PGS_TRY(const Holdings doubled, load());
    PGS_TRY(const PrunePlan plan, plan_prune(space_, doubled, request_.policy, request_.cancellation));
    return carry_out(plan);
  }

  // Says what goes, and then takes the snapshots out of sight. The order is the protocol.
  Result<void> condemn(const PrunePlan& plan) {
    CondemnedNote note{.id = {},
                       .created = {},
                       .snapshots = plan.doomed_snapshots(),
                       .packs = plan.packs,
                       .segments = plan.segments};
    PGS_CHECK(request_.still_allowed());
    PGS_TRY(note.id, put_condemned_note(space_, note, request_.clock));
    PGS_CHECK(unaware_of(space_, note));
    if (!plan.segments.empty()) PGS_CHECK(advance_wal_horizons(space_, plan.horizons));
    PGS_TRY(const HoldList holds, list_holds(space_));
    std::set<std::string> held;
    for (const Hold& hold : holds.holds) {
      if (!has_ended(hold, now_)) held.insert(hold.snapshot);
    }
    for (const std::string& id : note.snapshots) {
      PGS_CHECK(request_.cancellation.check());
      if (held.contains(id)) {
        log_info("snapshot {} stays: somebody has just begun to read it", id);
        continue;
      }
      PGS_CHECK(request_.still_allowed());
      const BriefAttempts brief(publishing_limit);
      PGS_CHECK(remove_snapshot(space_, id));
      ++report_.removed_objects;
    }
    return {};
  }

  // Removes what notes name and nobody can need any more.
  Result<void> sweep() {
    PGS_TRY(const auto notes, list_condemned_notes(space_));
    std::vector<const CondemnedNote*> ripe;
    for (const CondemnedNote& note : notes) {
      PGS_TRY(const auto unaware, unaware_of(space_, note));
      if (unaware) {
        report_.waits_for = *unaware;
      } else if (may_list_late() && request_.clock.now() - note.created < listing_grace) {
        report_.waits_for = waits_for_listings;
      } else {
        ripe.push_back(&note);
      }
    }
    if (ripe.empty()) return {};
    reached_.clear();
    PGS_CHECK(read_roots());
    for (const CondemnedNote* note : ripe) {
      for (const PackId& pack : note->packs) PGS_CHECK(sweep_pack(pack));
      for (const auto& [timeline, start] : note->segments) PGS_CHECK(sweep_segment(timeline, start));
      PGS_CHECK(request_.still_allowed());
      PGS_CHECK(remove_condemned_note(space_, note->id));
    }
    return {};
  }

  // Of stores far away, those that compare and swap are known to list at once what was published.
  [[nodiscard]] bool may_list_late() const {
    const StoreCapabilities store = space_.store().capabilities();
    return store.far && !store.conditional_writes;
  }

  // What is needed now: those who were unaware of a note have published what they had to.
  Result<void> read_roots() {
    PGS_TRY(const SnapshotList list, list_snapshots(space_));
    PGS_TRY(const HoldList holds, list_holds(space_));
    PGS_CHECK(check_all_readable(space_, list, holds));
    for (const auto& snapshot : list.snapshots) {
      reached_.insert(snapshot.packs.begin(), snapshot.packs.end());
      PGS_CHECK(needs_.add(snapshot));
    }
    for (const Hold& hold : holds.holds) PGS_CHECK(needs_.add(hold));
    PGS_TRY(inventory_, WalInventory::load(space_, request_.wal_segment_bytes));
    return {};
  }

  Result<void> sweep_pack(const PackId& pack) {
    if (reached_.contains(pack)) return {};
    const auto size = sizes_.find(pack);
    if (size == sizes_.end()) return {};  // gone already
    PGS_CHECK(remove(pack_name(pack), size->second));
    sizes_.erase(size);
    return {};
  }

  Result<void> sweep_segment(TimelineId timeline, Lsn start) {
    const auto* objects = inventory_->find(timeline, start);
    if (objects == nullptr || needs_.needs(timeline, start)) return {};
    report_.removed_bytes += objects->stored_bytes;
    for (const auto& tail : objects->tails) PGS_CHECK(remove(tail.name, 0));
    for (const auto* name : {&objects->partial, &objects->sealed}) {
      if (!name->empty()) PGS_CHECK(remove(*name, 0));
    }
    inventory_->forget(timeline, start);
    return {};
  }

  Result<void> remove(const std::string& name, std::uint64_t size_bytes) {
    PGS_CHECK(request_.cancellation.check());
    PGS_CHECK(request_.still_allowed());
    const BriefAttempts brief(publishing_limit);
    PGS_CHECK(space_.store().remove(space_.object_name(name)));
    ++report_.removed_objects;
    report_.removed_bytes += size_bytes;
    return {};
  }

  const ClusterSpace& space_;
  const PruneRequest& request_;
  PruneReport report_;
  Timestamp now_;
  std::map<PackId, std::uint64_t> sizes_;
  std::set<PackId> reached_;
  WalNeeds needs_{space_, request_.wal_segment_bytes};
  std::optional<WalInventory> inventory_;
};

}  // namespace

Result<PruneReport> prune_cluster(const ClusterSpace& space, const PruneRequest& request) {
  return Prune(space, request).run();
}

}  // namespace pgstrata
