#include "check/verify.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "catalog/condemned.h"
#include "catalog/retention_floor.h"
#include "check/findings.h"
#include "check/missing_wal.h"
#include "repo/lease.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {

namespace {

constexpr std::size_t listed_files = 10;
constexpr std::string_view packs_prefix = "packs/";

class Verification {
 public:
  Verification(const ClusterSpace& space, const VerifyOptions& options, const Cancellation& cancellation)
      : space_(space), options_(options), cancellation_(cancellation) {}

  Result<Findings> run(std::uint32_t wal_segment_bytes) {
    PGS_TRY(auto list, list_snapshots(space_));
    PGS_TRY(auto inventory, WalInventory::load(space_, wal_segment_bytes));
    PGS_TRY(const auto packs, packs_to_read(list));
    progress_.objects_total =
        packs.size() + list.snapshots.size() + list.damaged.size() + segments_in(inventory);
    std::ranges::copy(inventory.unknown_names(), std::back_inserter(report_.unknown_objects));

    for (const auto& damaged : list.damaged) {
      note(space_.object_name("snapshots/" + damaged.id), damaged.error, {damaged.id});
      count(0);
    }
    PGS_CHECK(check_all_packs(packs));
    for (const auto& snapshot : list.snapshots) PGS_CHECK(check_snapshot(snapshot));
    tell_of_packs_that_serve_all_the_same(list);
    PGS_CHECK(check_all_wal(list, inventory));
    PGS_CHECK(check_histories(list));
    PGS_CHECK(check_leases());
    PGS_CHECK(check_retention());
    PGS_CHECK(check_holes(list, inventory));
    if (!report_.sound()) {
      PGS_CHECK(forget_what_was_taken(list, wal_segment_bytes));
    }
    if (!report_.sound()) {
      if (wal_moved_) {
        PGS_TRY(inventory, WalInventory::load(space_, wal_segment_bytes));
      }
      PGS_TRY(report_.lost, find_lost_coverage(space_, list, inventory, broken_, wal_ends_, cancellation_));
    }
    report_.bytes_read = progress_.bytes_read;
    report_.objects = progress_.objects;
    report_.chunks = packs_.chunks_total;
    report_.chunks_read = packs_.chunks_read;
    return Findings{std::move(report_),   std::move(list),    std::move(inventory), std::move(packs_),
                    std::move(wal_ends_), std::move(broken_), std::move(lasting_),  std::move(lacking_wal_)};
  }

 private:
  Result<void> check_all_packs(const std::vector<PackId>& packs) {
    PGS_TRY(packs_, check_packs(space_, packs,
                                {.sample = sample(),
                                 .workers = worker_count(),
                                 .on_pack = [this](std::uint64_t bytes) { count(bytes); }},
                                cancellation_));
    for (const auto& [id, damage] : packs_.damaged) {
      report_.damaged.push_back(
          {space_.object_name(pack_name(id)), damage.what, {}, {}, cure_of_pack(damage)});
    }
    return {};
  }

  // New snapshots go on using what a pack holds for as long as it is there, unread.
  [[nodiscard]] std::string cure_of_pack(const PackDamage& damage) const {
    if (!damage.cure.empty()) return damage.cure;
    const auto backup = fmt::format(
        "run `pgstrata backup {}`: what the pack held is stored anew, for the new snapshot and those after "
        "it",
        space_.name());
    if (damage.code == ErrorCode::damaged)
      return fmt::format("run `pgstrata repair {}`, which drops it, then {}", space_.name(), backup);
    return damage.code == ErrorCode::not_found ? backup : std::string();
  }

  [[nodiscard]] ContentSample sample() const {
    switch (options_.level) {
      case VerifyLevel::structure:
        return {.percent = 0};
      case VerifyLevel::sample:
        return {options_.sample_percent, options_.seed};
      case VerifyLevel::everything:
        break;
    }
    return {};
  }

  [[nodiscard]] unsigned worker_count() const {
    return options_.workers != 0 ? options_.workers : std::max(1U, std::thread::hardware_concurrency());
  }

  static std::uint64_t segments_in(const WalInventory& inventory) {
    std::uint64_t segments = 0;
    for (const auto& [timeline, by_start] : inventory.timelines()) segments += by_start.size();
    return segments;
  }

  // Those the snapshots name, and on demand those that no snapshot does.
  Result<std::vector<PackId>> packs_to_read(const SnapshotList& list) {
    std::set<PackId> reached;
    for (const auto& snapshot : list.snapshots) reached.insert(snapshot.packs.begin(), snapshot.packs.end());
    std::vector<PackId> packs(reached.begin(), reached.end());
    PGS_TRY(const auto objects, space_.list(packs_prefix));
    for (const auto& object : objects) {
      const auto id = parse_pack_id(std::string_view(object.name).substr(packs_prefix.size()));
      if (!id) {
        report_.unknown_objects.push_back(object.name);
      } else if (!reached.contains(*id)) {
        ++report_.unreferenced_packs;
        if (options_.unreferenced) packs.push_back(*id);
      }
    }
    return packs;
  }

  void count(std::uint64_t bytes) {
    ++progress_.objects;
    progress_.bytes_read += bytes;
    if (options_.on_progress) options_.on_progress(progress_);
  }

  void note(std::string object, const Error& error, std::vector<std::string> snapshots) {
    report_.damaged.push_back(
        {std::move(object), error.describe(), std::move(snapshots), {}, cure_of(error)});
  }

  DamagedObject& damaged_object(const std::string& name, const std::string& what) {
    auto object = std::ranges::find(report_.damaged, name, &DamagedObject::name);
    if (object == report_.damaged.end()) {
      report_.damaged.push_back({name, what, {}, {}});
      object = std::prev(report_.damaged.end());
    }
    return *object;
  }

  // Whether this reference leads to a chunk that is there and sound as far as it was read; if not, says so.
  Result<void> check_reference(const ChunkRef& ref, const SnapshotRecord& snapshot, const std::string& path) {
    auto fault = packs_.fault_of(ref);
    if (fault && packs_.is_only_unlisted(ref)) {
      PGS_TRY(const bool readable, can_be_read(ref));
      if (readable) fault.reset();
    }
    // A snapshot that can be restored all the same: it never goes for that.
    if (!fault && !std::ranges::binary_search(snapshot.packs, ref.pack))
      fault = ChunkFault{fmt::format("snapshot {} needs it and does not name it", snapshot.id), false};
    if (fault) blame(ref, snapshot, path, *fault);
    return {};
  }

  // Restoring needs no directory, only the chunk.
  Result<bool> can_be_read(const ChunkRef& ref) {
    const auto known = unlisted_chunks_.find(ref);
    if (known != unlisted_chunks_.end()) return known->second;
    content_.resize(max_chunk_content_bytes);
    const auto read = unlisted_reader_.read(ref, content_);
    if (!read && !is_damage(read.error())) return std::unexpected(read.error());
    unlisted_chunks_.emplace(ref, read.has_value());
    return read.has_value();
  }

  void blame(const ChunkRef& ref, const SnapshotRecord& snapshot, const std::string& path,
             const ChunkFault& fault) {
    auto& object = damaged_object(space_.object_name(pack_name(ref.pack)), fault.what);
    if (object.snapshots.empty() || object.snapshots.back() != snapshot.id)
      object.snapshots.push_back(snapshot.id);
    if (!path.empty() && object.files.size() < listed_files &&
        std::ranges::find(object.files, path) == object.files.end()) {
      object.files.push_back(path);
    }
    break_snapshot(snapshot.id, fault.lasting);
  }

  void break_snapshot(const std::string& id, bool lasting) {
    broken_.snapshots.insert(id);
    if (lasting) lasting_.snapshots.insert(id);
  }

  // What the snapshots need of such a pack is whole, though its directory is not.
  void tell_of_packs_that_serve_all_the_same(const SnapshotList& list) {
    for (const auto& [id, damage] : packs_.damaged) {
      if (!packs_.is_only_unlisted({id, {}})) continue;
      const auto names_it = [id = id](const SnapshotRecord& snapshot) {
        return std::ranges::binary_search(snapshot.packs, id);
      };
      auto& object = damaged_object(space_.object_name(pack_name(id)), damage.what);
      if (!object.snapshots.empty() || std::ranges::none_of(list.snapshots, names_it)) continue;
      object.what += "; all that snapshots need of it can be read";
      object.cure.clear();
    }
  }

  Result<void> check_extents(FileTreeReader& tree, const SnapshotRecord& snapshot, const FileEntry& file) {
    for (const auto& leaf : file.map.leaves) PGS_CHECK(check_reference(leaf.chunk, snapshot, file.path));
    const auto extents = extent_count(file.size_bytes);
    for (std::uint64_t first = 0; first < extents; first += page_map_leaf_extents) {
      const auto count_here = std::min<std::uint64_t>(extents - first, page_map_leaf_extents);
      auto refs = tree.extents(file, first, count_here);
      if (!refs && !is_damage(refs.error())) return std::unexpected(std::move(refs).error());
      if (!refs) {
        const auto leaf = static_cast<std::size_t>(first / page_map_leaf_extents);
        blame(leaf < file.map.leaves.size() ? file.map.leaves[leaf].chunk : snapshot.tree, snapshot,
              file.path, {"a chunk of it does not parse", is_lasting_loss(refs.error())});
        continue;
      }
      for (const auto& extent : *refs) {
        if (extent.chunk) PGS_CHECK(check_reference(*extent.chunk, snapshot, file.path));
        if (extent.difference) PGS_CHECK(check_reference(*extent.difference, snapshot, file.path));
      }
    }
    return {};
  }

  Result<void> check_snapshot(const SnapshotRecord& snapshot) {
    FileTreeReader tree(space_, snapshot.tree);
    const auto walked = tree.for_each([&](const FileEntry& file) -> Result<void> {
      PGS_CHECK(cancellation_.check());
      return check_extents(tree, snapshot, file);
    });
    if (!walked && !is_damage(walked.error())) return std::unexpected(walked.error());
    if (!walked) blame_tree(snapshot, walked.error());
    ++report_.snapshots;
    count(0);
    return {};
  }

  // A node of the tree is broken: the packs of the snapshot that are damaged are to blame, or else the tree
  // itself.
  void blame_tree(const SnapshotRecord& snapshot, const Error& error) {
    const bool lasting = is_lasting_loss(error);
    bool found = false;
    for (const auto& [id, damage] : packs_.damaged) {
      if (!std::ranges::binary_search(snapshot.packs, id)) continue;
      blame({id, {}}, snapshot, {}, {damage.what, lasting});
      found = true;
    }
    if (!found) note(space_.object_name("snapshots/" + snapshot.id), error, {snapshot.id});
    break_snapshot(snapshot.id, lasting);
  }

  Result<void> check_all_wal(const SnapshotList& list, const WalInventory& inventory) {
    PGS_TRY(auto wal, check_wal(space_, list, inventory, sample(), cancellation_,
                                [this](std::uint64_t bytes) { count(bytes); }));
    std::ranges::move(wal.damaged, std::back_inserter(report_.damaged));
    for (const auto& lacking : wal.lacking) broken_.snapshots.insert(lacking.snapshot);
    lacking_wal_ = std::move(wal.lacking);
    broken_.segments = std::move(wal.broken);
    lasting_.segments = std::move(wal.lasting);
    wal_ends_ = std::move(wal.ends);
    wal_moved_ = wal.moved;
    report_.wal_segments = wal.segments;
    report_.wal_segments_read = wal.segments_read;
    return {};
  }

  void break_history(TimelineId timeline, bool lasting) {
    broken_.histories.insert(timeline);
    if (lasting) lasting_.histories.insert(timeline);
  }

  // Each timeline that is here came with its history, but for timeline 1, which has none. A file makes none
  // by its name.
  Result<void> check_histories(const SnapshotList& list) {
    PGS_TRY(const auto stored, list_timeline_histories(space_));
    std::set<TimelineId> timelines(stored.begin(), stored.end());
    for (const auto& [segment, end] : wal_ends_) timelines.insert(segment.first);
    for (const auto& snapshot : list.snapshots) timelines.insert(snapshot.timeline);
    for (const auto timeline : timelines) {
      const auto name = space_.object_name(fmt::format("timelines/{:08X}", timeline.value));
      if (std::ranges::find(stored, timeline) == stored.end()) {
        if (timeline == TimelineId{1}) continue;
        note(name, make_error(ErrorCode::not_found, "it is missing"), {});
        break_history(timeline, true);
        continue;
      }
      const auto path = timeline_ancestry(space_, timeline);
      if (path) continue;
      if (!is_damage(path.error())) return std::unexpected(path.error());
      note(name, path.error(), {});
      break_history(timeline, is_lasting_loss(path.error()));
    }
    PGS_TRY(const auto marks, damaged_marks(space_));
    for (const auto& [timeline, error] : marks) {
      report_.damaged.push_back(
          {space_.object_name(fmt::format("timelines/{:08X}.aside", timeline.value)),
           fmt::format("{}; timeline {} counts as the cluster's", error.describe(), timeline),
           {},
           {},
           fmt::format(
               "run `pgstrata stream {} --new-primary` with the primary's --url: it makes the mark anew",
               space_.name())});
    }
    return {};
  }

  // A stream may have replaced objects while they were listed, and may be about to heal what it has lost:
  // only what is missing at a second look counts.
  Result<void> check_holes(const SnapshotList& list, const WalInventory& inventory) {
    PGS_TRY(auto holes, find_wal_holes(space_, list, inventory, broken_, cancellation_));
    if (holes.empty()) return {};
    PGS_TRY(const auto list_now, list_snapshots(space_));
    PGS_TRY(const auto inventory_now, WalInventory::load(space_, inventory.segment_bytes()));
    PGS_TRY(const auto holes_now, find_wal_holes(space_, list_now, inventory_now, broken_, cancellation_));
    for (const auto& hole : holes_now) {
      const auto same = [&](const WalHole& seen) {
        return seen.missing.timeline == hole.missing.timeline && seen.missing.to_lsn == hole.missing.to_lsn;
      };
      if (std::ranges::none_of(holes, same)) continue;
      const bool known = std::ranges::find(report_.missing_wal, hole.missing) != report_.missing_wal.end();
      if (!known) report_.missing_wal.push_back(hole.missing);
      if (hole.missing.healed_by.empty()) broken_.behind_holes.push_back(hole.behind);
    }
    return {};
  }

  // Prune removes nothing while it does not know what these say.
  Result<void> check_retention() {
    PGS_TRY(const HoldList holds, list_holds(space_));
    for (const auto& hold : holds.damaged) note(space_.object_name("holds/" + hold.id), hold.error, {});
    const auto floor = get_retention_floor(space_);
    if (!floor && !is_damage(floor.error())) return std::unexpected(floor.error());
    if (!floor) note(space_.object_name("retention-floor"), floor.error(), {});
    const auto condemned = load_condemned(space_);
    if (!condemned && !is_damage(condemned.error())) return std::unexpected(condemned.error());
    if (!condemned) note(space_.object_name("condemned/"), condemned.error(), {});
    return {};
  }

  // A prune may have been at work meanwhile: what it took away is no damage, nor is what nothing that stayed needs.
  Result<void> forget_what_was_taken(SnapshotList& list, std::uint32_t segment_bytes) {
    PGS_TRY(const auto ids, list_snapshot_ids(space_));
    const std::set<std::string> there(ids.begin(), ids.end());
    const auto taken = [&there](const std::string& id) { return !there.contains(id); };
    std::erase_if(list.snapshots, [&](const SnapshotRecord& snapshot) { return taken(snapshot.id); });
    std::erase_if(list.damaged, [&](const auto& damaged) { return taken(damaged.id); });
    std::erase_if(broken_.snapshots, taken);
    std::erase_if(lasting_.snapshots, taken);
    for (auto& object : report_.damaged) std::erase_if(object.snapshots, taken);
    PGS_CHECK(forget_segments(list, segment_bytes));
    std::set<std::string> needed;
    for (const auto& snapshot : list.snapshots) {
      for (const PackId& pack : snapshot.packs) needed.insert(space_.object_name(pack_name(pack)));
    }
    const std::string packs = space_.object_name(packs_prefix);
    const std::string snapshots = space_.object_name("snapshots/");
    return forget_objects([&](const DamagedObject& object) {
      const bool could_be_taken = object.name.starts_with(packs) || object.name.starts_with(snapshots);
      return could_be_taken && object.snapshots.empty() && !needed.contains(object.name);
    });
  }

  Result<void> forget_segments(const SnapshotList& list, std::uint32_t segment_bytes) {
    PGS_TRY(const auto horizons, get_wal_horizons(space_));
    std::set<std::pair<TimelineId, Lsn>> let_go;
    for (const auto& [timeline, start] : broken_.segments) {
      const bool needed = std::ranges::any_of(list.snapshots, [&](const SnapshotRecord& snapshot) {
        return snapshot.start_lsn < start + segment_bytes && start < snapshot.consistent_lsn;
      });
      if (!needed && was_let_go(horizons, timeline, start + segment_bytes)) let_go.emplace(timeline, start);
    }
    for (const auto& segment : let_go) {
      broken_.segments.erase(segment);
      lasting_.segments.erase(segment);
      const auto name = space_.object_name(wal_object_name(segment.first, segment.second, segment_bytes));
      PGS_CHECK(forget_objects([&](const DamagedObject& object) { return object.name.starts_with(name); }));
    }
    return {};
  }

  // Those that are not there any more.
  Result<void> forget_objects(const std::function<bool(const DamagedObject&)>& which) {
    for (auto object = report_.damaged.begin(); object != report_.damaged.end();) {
      const bool may_go = which(*object);
      PGS_TRY(const bool gone, may_go ? is_gone(object->name) : Result<bool>(false));
      object = gone ? report_.damaged.erase(object) : std::next(object);
    }
    return {};
  }

  Result<bool> is_gone(const std::string& name) {
    const auto there = space_.store().stat(name);
    if (there || there.error().code() == ErrorCode::not_found) return !there.has_value();
    return std::unexpected(there.error());
  }

  // Nothing is lost with one, but nobody can take it.
  Result<void> check_leases() {
    constexpr std::string_view prefix = "leases/";
    PGS_TRY(const auto leases, space_.list(prefix));
    for (const auto& lease : leases) {
      const auto holder = lease_holder(space_, std::string_view(lease.name).substr(prefix.size()));
      if (holder) continue;
      if (!is_damage(holder.error())) return std::unexpected(holder.error());
      note(space_.object_name(lease.name), holder.error(), {});
    }
    return {};
  }

  const ClusterSpace& space_;
  const VerifyOptions& options_;
  const Cancellation& cancellation_;
  VerifyReport report_;
  VerifyProgress progress_;
  PackCheck packs_;
  ChunkReader unlisted_reader_{space_};
  std::map<ChunkRef, bool> unlisted_chunks_;  // of packs without a directory: whether they can be read
  Bytes content_;
  Breakage broken_;
  Breakage lasting_;
  std::vector<LackingWal> lacking_wal_;
  bool wal_moved_ = false;  // since the inventory was loaded
  WalEnds wal_ends_;
};

}  // namespace

std::string_view to_string(VerifyLevel level) {
  switch (level) {
    case VerifyLevel::structure:
      return "structure";
    case VerifyLevel::sample:
      return "sample";
    case VerifyLevel::everything:
      break;
  }
  return "everything";
}

Result<Findings> examine_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                 const VerifyOptions& options, const Cancellation& cancellation) {
  return Verification(space, options, cancellation).run(wal_segment_bytes);
}

Result<VerifyReport> verify_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                    const VerifyOptions& options, const Cancellation& cancellation) {
  PGS_TRY(Findings findings, examine_cluster(space, wal_segment_bytes, options, cancellation));
  return std::move(findings.report);
}

namespace {

constexpr std::string_view slot_prefix = "keys/";

Result<void> check_key_slot(const Repository& repository, const std::string& name) {
  PGS_TRY(const auto content, repository.store().get(name));
  const auto id = std::string_view(name).substr(slot_prefix.size());
  PGS_CHECK(read_key_slot_info(repository.id(), id, content));
  return {};
}

}  // namespace

Result<std::vector<DamagedObject>> verify_key_slots(const Repository& repository) {
  PGS_TRY(const auto objects, repository.store().list_all(slot_prefix));
  std::vector<DamagedObject> damaged;
  for (const auto& object : objects) {
    const auto checked = check_key_slot(repository, object.name);
    // Removed meanwhile, or of an init that was cut short: readers pass over it, too.
    if (checked || checked.error().code() == ErrorCode::not_found) continue;
    if (!is_damage(checked.error())) return std::unexpected(checked.error());
    damaged.push_back({object.name, checked.error().describe(), {}, {}, cure_of(checked.error())});
  }
  return damaged;
}

}  // namespace pgstrata
