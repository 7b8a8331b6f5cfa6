#include "retention/prune.h"

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "catalog/condemned.h"
#include "catalog/for_each_object.h"
#include "repo/damage.h"
#include "storage/brief_attempts.h"

namespace pgstrata {
namespace {

// After that long every store lists what was published before.
constexpr std::chrono::hours listing_grace{1};

class Prune {
 public:
  Prune(const ClusterSpace& space, const PruneRequest& request) : space_(space), request_(request) {}

  Result<PruneReport> run() {
    // What is condemned already goes first: what it restored is none of what there was before.
    if (!request_.dry_run) PGS_CHECK(sweep_older());
    PGS_TRY(const Holdings holdings, load());
    report_.before = holdings.coverage;
    PGS_TRY(report_.plan, plan_prune(space_, holdings, request_.policy, request_.cancellation));
    if (request_.dry_run) return std::move(report_);
    PGS_CHECK(condemn(report_.plan));
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
    return holdings;
  }

  Result<void> compact() {
    PGS_TRY(const Holdings left, load());
    auto compaction =
        compact_packs(space_, left, request_.clock, request_.cancellation, request_.still_allowed);
    if (!compaction && is_damage(compaction.error())) {
      log_warning("packs are left as they are, however little of them is needed: {}",
                  compaction.error().describe());
      return {};
    }
    PGS_TRY(report_.compaction, std::move(compaction));
    if (report_.compaction.snapshots == 0) return {};
    PGS_TRY(const Holdings doubled, load());
    PGS_TRY(const PrunePlan plan, plan_prune(space_, doubled, request_.policy, request_.cancellation));
    return condemn(plan);
  }

  // Says what goes, and then takes the snapshots out of sight. The order is the protocol.
  Result<void> condemn(const PrunePlan& plan) {
    if (plan.empty()) return {};
    CondemnedNote note{.id = {},
                       .created = request_.clock.now(),
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
    return sweep({note});
  }

  // What earlier runs left.
  Result<void> sweep_older() {
    PGS_CHECK(remove_damaged_notes(space_, request_.still_allowed));
    PGS_TRY(auto notes, list_condemned_notes(space_));
    PGS_CHECK(sweep(std::move(notes)));
    return remove_lone_witnesses(space_, request_.still_allowed);
  }

  // Removes what the notes name and nobody can need any more.
  Result<void> sweep(std::vector<CondemnedNote> notes) {
    std::vector<CondemnedNote> ripe;
    for (CondemnedNote& note : notes) {
      PGS_TRY(const auto unaware, unaware_of(space_, note));
      if (unaware) {
        report_.waits_for = *unaware;
      } else if (may_list_late() && request_.clock.now() - note.created < listing_grace) {
        report_.waits_for = waits_for_listings;
      } else {
        ripe.push_back(std::move(note));
      }
    }
    if (ripe.empty()) return {};
    PGS_CHECK(read_roots());
    for (const CondemnedNote& note : ripe) {
      PGS_CHECK(remove_all(free_objects(note)));
      PGS_CHECK(remove_condemned_note(space_, note.id, request_.still_allowed));
    }
    return {};
  }

  struct FreeObject {
    std::string name;
    std::uint64_t size_bytes = 0;
  };
  // What the note names, is there and is not needed; each but once.
  std::vector<FreeObject> free_objects(const CondemnedNote& note) {
    std::vector<FreeObject> free;
    for (const PackId& pack : note.packs) {
      const auto size = packs_.find(pack);
      if (size == packs_.end() || reached_.contains(pack)) continue;
      free.push_back({pack_name(pack), size->second});
      packs_.erase(size);
    }
    for (const auto& [timeline, start] : note.segments) {
      if (!needs_->needs(timeline, start)) add_segment(timeline, start, free);
    }
    return free;
  }

  void add_segment(TimelineId timeline, Lsn start, std::vector<FreeObject>& free) {
    const auto* objects = inventory_->find(timeline, start);
    if (objects == nullptr) return;
    const std::size_t first = free.size();
    for (const auto& tail : objects->tails) free.push_back({tail.name});
    for (const auto* name : {&objects->partial, &objects->sealed}) {
      if (!name->empty()) free.push_back({*name});
    }
    free[first].size_bytes = objects->stored_bytes;  // of all of them
    inventory_->forget(timeline, start);
  }

  Result<void> remove_all(const std::vector<FreeObject>& objects) {
    std::atomic<bool> failed = false;
    const auto remove = [this](const FreeObject& object) -> Result<void> {
      PGS_CHECK(request_.cancellation.check());
      PGS_CHECK(request_.still_allowed());
      const BriefAttempts brief(publishing_limit);
      return space_.store().remove(space_.object_name(object.name));
    };
    // After the first that fails no further one is tried.
    const auto results = for_each_object(space_, objects, [&](const FreeObject& object) -> Result<void> {
      if (failed) return {};
      auto done = remove(object);
      if (!done) failed = true;
      return done;
    });
    for (std::size_t at = 0; at < objects.size(); ++at) {
      PGS_CHECK(results[at]);
      ++report_.removed_objects;
      report_.removed_bytes += objects[at].size_bytes;
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
    reached_.clear();
    needs_.emplace(space_, request_.wal_segment_bytes);
    PGS_TRY(const SnapshotList list, list_snapshots(space_));
    PGS_TRY(const HoldList holds, list_holds(space_));
    PGS_CHECK(check_all_readable(space_, list, holds));
    for (const auto& snapshot : list.snapshots) {
      reached_.insert(snapshot.packs.begin(), snapshot.packs.end());
      PGS_CHECK(needs_->add(snapshot));
    }
    for (const Hold& hold : holds.holds) PGS_CHECK(needs_->add(hold));
    PGS_TRY(inventory_, WalInventory::load(space_, request_.wal_segment_bytes));
    PGS_TRY(packs_, list_packs(space_));
    return {};
  }

  const ClusterSpace& space_;
  const PruneRequest& request_;
  PruneReport report_;
  Timestamp now_;
  // As the last look at the roots found it.
  std::map<PackId, std::uint64_t> packs_;  // that are there, with their sizes
  std::set<PackId> reached_;
  std::optional<WalNeeds> needs_;
  std::optional<WalInventory> inventory_;
};

}  // namespace

Result<PruneReport> prune_cluster(const ClusterSpace& space, const PruneRequest& request) {
  return Prune(space, request).run();
}

}  // namespace pgstrata
