#include "check/repair.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/wal_reader.h"
#include "check/missing_wal.h"
#include "check/repair_plan.h"

namespace pgstrata {

namespace {

class Repair {
 public:
  Repair(const ClusterSpace& space, std::uint32_t wal_segment_bytes, const RepairOptions& options,
         const Cancellation& cancellation)
      : space_(space),
        wal_segment_bytes_(wal_segment_bytes),
        options_(options),
        cancellation_(cancellation) {}

  Result<RepairReport> run() {
    PGS_TRY(auto findings, examine(VerifyLevel::everything));
    PGS_TRY(plan_, plan_repair(space_, findings, options_.stream_at_work, cancellation_));
    PGS_TRY(report_.lost, lost_coverage(findings));
    report_.found = findings.report;
    report_.lost_snapshots = plan_.lost_snapshots;
    report_.kept = plan_.kept;
    for (const auto& wal : plan_.rewrites)
      report_.rewritten_wal.push_back({wal.timeline, wal.start, wal.end});
    if (options_.dry_run || plan_.drops.empty()) {
      for (const auto& drop : plan_.drops) note(drop);
      PGS_CHECK(foresee(std::move(findings)));
      return std::move(report_);
    }
    PGS_CHECK(look_twice(findings));
    for (const auto& wal : plan_.rewrites) PGS_CHECK(rewrite(wal));
    for (const auto& drop : plan_.drops) PGS_CHECK(remove(drop));
    PGS_CHECK(look_afterwards());
    return std::move(report_);
  }

 private:
  Result<Findings> examine(VerifyLevel level) const {
    VerifyOptions options;
    options.level = level;
    options.unreferenced = true;
    options.workers = options_.workers;
    options.on_progress = options_.on_progress;
    return examine_cluster(space_, wal_segment_bytes_, options, cancellation_);
  }

  // What damage that may pass keeps from us for now is not lost.
  Result<std::vector<LostCoverage>> lost_coverage(const Findings& findings) const {
    if (findings.report.sound()) return std::vector<LostCoverage>();
    auto list = findings.list;
    std::erase_if(list.damaged, [](const auto& damaged) { return !is_lasting_loss(damaged.error); });
    return find_lost_coverage(space_, std::move(list), findings.inventory, plan_.lost, findings.wal_ends,
                              cancellation_);
  }

  void note(const PlannedDrop& drop) {
    report_.dropped.push_back({space_.object_name(drop.name), drop.what});
  }

  // What will be when the plan has been carried out.
  Result<void> foresee(Findings findings) {
    auto& list = findings.list;
    auto& inventory = findings.inventory;
    auto& broken = findings.broken;
    std::erase_if(list.snapshots,
                  [&](const auto& snapshot) { return plan_.lost.snapshots.contains(snapshot.id); });
    for (const auto& [timeline, start] : plan_.emptied_segments) inventory.forget(timeline, start);
    for (const auto& segment : plan_.lost.segments) broken.segments.erase(segment);  // what stays is sound
    PGS_TRY(const auto holes, find_wal_holes(space_, list, inventory, broken, cancellation_));
    for (const auto& hole : holes) {
      const bool known = std::ranges::find(report_.missing_wal, hole.missing) != report_.missing_wal.end();
      if (!known) report_.missing_wal.push_back(hole.missing);
    }
    PGS_TRY(report_.coverage, compute_coverage(space_, std::move(inventory), list, cancellation_));
    report_.lost = less_what_is_covered(space_, report_.lost, report_.coverage);
    return {};
  }

  // Nothing goes because of what was read wrong once.
  Result<void> look_twice(const Findings& findings) const {
    for (const auto& [id, damage] : findings.packs.damaged) {
      if (!damage.lasting) continue;
      PGS_TRY(const auto now, look_at_pack(space_, id, cancellation_));
      if (!now || now->whole != damage.whole || now->chunks != damage.chunks)
        return std::unexpected(read_differently(pack_name(id)));
    }
    for (const auto& drop : plan_.drops) {
      PGS_CHECK(cancellation_.check());
      PGS_TRY(const bool damaged, drop.still_damaged());
      if (!damaged) return std::unexpected(read_differently(drop.name));
    }
    return {};
  }

  [[nodiscard]] Error read_differently(const std::string& name) const {
    return make_error(ErrorCode::unavailable,
                      "{} was damaged when it was read, and is not when it is read again",
                      space_.object_name(name))
        .with_hint(
            "Nothing was removed. Where no stream has healed it meanwhile, look for what is wrong with this "
            "machine's memory, disk or network, then run the same command again.");
  }

  Result<void> rewrite(const PlannedRewrite& wal) const {
    PGS_CHECK(cancellation_.check());
    PGS_TRY(const auto inventory,
            WalInventory::load_segment(space_, wal_segment_bytes_, wal.timeline, wal.start));
    PGS_TRY(const auto content, read_wal_segment(space_, inventory, wal.timeline, wal.start, wal.start));
    if (options_.may_remove) PGS_CHECK(options_.may_remove());
    PGS_TRY(auto tail, WalTailWriter::create(space_, wal.timeline, wal.start, wal_segment_bytes_));
    log_info("repair writes WAL of timeline {} from {} to {} into {}", wal.timeline, wal.start,
             wal.start + content.bytes.size(), tail.name());
    PGS_CHECK(tail.append(content.bytes));
    if (content.mark.time.valid()) PGS_CHECK(tail.mark(content.mark));
    return tail.vouch();
  }

  // A stream may have put something sound in its place since.
  Result<void> remove(const PlannedDrop& drop) {
    PGS_CHECK(cancellation_.check());
    PGS_TRY(const bool damaged, drop.still_damaged());
    if (!damaged) return {};
    if (options_.may_remove) PGS_CHECK(options_.may_remove());
    log_info("repair removes {}: {}", space_.object_name(drop.name), drop.what);
    PGS_CHECK(space_.store().remove(space_.object_name(drop.name)));
    note(drop);
    return {};
  }

  Result<void> look_afterwards() {
    PGS_TRY(auto after, examine(VerifyLevel::structure));
    report_.missing_wal = std::move(after.report.missing_wal);
    for (auto& object : after.report.damaged) {
      const bool told = std::ranges::find(report_.kept, object.name, &KeptObject::name) != report_.kept.end();
      if (told) continue;
      report_.kept.push_back({std::move(object.name), std::move(object.what),
                              "it is damaged still: repair again", std::move(object.snapshots)});
    }
    PGS_TRY(report_.coverage, compute_coverage(space_, wal_segment_bytes_, cancellation_));
    report_.lost = less_what_is_covered(space_, report_.lost, report_.coverage);
    return {};
  }

  const ClusterSpace& space_;
  const std::uint32_t wal_segment_bytes_;
  const RepairOptions& options_;
  const Cancellation& cancellation_;
  RepairPlan plan_;
  RepairReport report_;
};

}  // namespace

Result<RepairReport> repair_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                    const RepairOptions& options, const Cancellation& cancellation) {
  return Repair(space, wal_segment_bytes, options, cancellation).run();
}

Result<std::optional<DroppedObject>> drop_damaged_lease(const ClusterSpace& space, std::string_view name) {
  const auto holder = lease_holder(space, name);
  if (holder || !is_lasting_damage(holder.error())) return std::nullopt;
  auto object = space.object_name(fmt::format("leases/{}", name));
  log_info("repair removes {}: {}", object, holder.error().describe());
  PGS_CHECK(space.store().remove(object));
  return std::optional(DroppedObject{std::move(object), holder.error().describe()});
}

}  // namespace pgstrata
