#include "check/repair_plan.h"

#include <algorithm>

#include "catalog/wal_reader.h"

namespace pgstrata {

namespace {

constexpr std::string_view snapshots_prefix = "snapshots/";
constexpr std::string_view leases_prefix = "leases/";

// Whether reading it ended with lasting damage; one that is not there any more has no damage.
template <class T>
Result<bool> is_lastingly_damaged(const Result<T>& read) {
  if (read || is_damage(read.error())) return !read && is_lasting_damage(read.error());
  return std::unexpected(read.error());
}

// "20261121-100305-1f2e", or "20261121-100305-1f2e-2" of one that supersedes another: what bears another name is none of ours.
bool is_snapshot_id(std::string_view id) {
  constexpr std::string_view form = "dddddddd-dddddd-xxxx";
  if (id.size() < form.size()) return false;
  const auto generation = id.substr(form.size());
  const bool plain = generation.empty();
  if (!plain && (generation.size() < 2 || generation.front() != '-' ||
                 generation.find_first_not_of("0123456789", 1) != std::string_view::npos))
    return false;
  for (std::size_t at = 0; at < form.size(); ++at) {
    const bool digit = id[at] >= '0' && id[at] <= '9';
    const bool letter = id[at] >= 'a' && id[at] <= 'f';
    if (form[at] == '-' ? id[at] != '-' : !(digit || (form[at] == 'x' && letter))) return false;
  }
  return true;
}

bool is_lease_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
}

Result<void> read_sealed(const ClusterSpace& space, const std::string& name) {
  PGS_TRY(auto reader, WalSegmentReader::open(space, name));
  PGS_CHECK(reader.read([](ByteView) { return Result<void>(); }));
  PGS_CHECK(reader.summary());
  return {};
}

// Also that it is the segment that its name says.
Result<void> read_sealed_segment(const ClusterSpace& space, const std::string& name, TimelineId timeline,
                                 Lsn start) {
  PGS_CHECK(end_of_sealed_wal(space, name, timeline, start));
  return read_sealed(space, name);
}

// Error: as read_wal_tail, and damaged when nothing of it can be read.
Result<WalTailContent> read_tail(const ClusterSpace& space, const std::string& name) {
  PGS_TRY(auto tail, read_wal_tail(space, name));
  if (tail.damage && tail.pieces.empty()) return std::unexpected(*tail.damage);
  return tail;
}

class Planning {
 public:
  Planning(const ClusterSpace& space, const Findings& findings, bool stream_at_work,
           const Cancellation& cancellation)
      : space_(space), findings_(findings), stream_at_work_(stream_at_work), cancellation_(cancellation) {}

  Result<RepairPlan> plan() {
    PGS_CHECK(plan_wal());  // goes after the packs, and decides upon snapshots
    auto wal = std::exchange(plan_.drops, {});
    plan_records();
    plan_broken_snapshots();
    PGS_CHECK(plan_packs());
    std::ranges::move(wal, std::back_inserter(plan_.drops));
    keep_what_snapshots_that_stay_lack();
    keep_histories();
    PGS_CHECK(plan_marks());
    PGS_CHECK(plan_leases());
    return std::move(plan_);
  }

 private:
  // Such as verify named it: its words and its cure.
  [[nodiscard]] const DamagedObject* reported(std::string_view name) const {
    const auto object =
        std::ranges::find(findings_.report.damaged, space_.object_name(name), &DamagedObject::name);
    return object == findings_.report.damaged.end() ? nullptr : &*object;
  }

  void drop(std::string name, std::string what, std::function<Result<bool>()> still_damaged) {
    plan_.drops.push_back({std::move(name), std::move(what), std::move(still_damaged)});
  }

  void keep(std::string_view name, std::string what, std::string why,
            std::vector<std::string> snapshots = {}) {
    auto object = space_.object_name(name);
    if (std::ranges::find(plan_.kept, object, &KeptObject::name) != plan_.kept.end()) return;
    plan_.kept.push_back({std::move(object), std::move(what), std::move(why), std::move(snapshots)});
  }

  // Reading it again may succeed, here or with a newer pgstrata.
  void keep_for_now(std::string_view name, const Error& error) {
    const bool newer = error.code() == ErrorCode::newer_format;
    keep(name, error.describe(),
         newer ? "a newer pgstrata wrote it, and reads it"
               : "it was not read, and may be another time. " + cure_of(error));
  }

  void plan_records() {
    for (const auto& [id, error] : findings_.list.damaged) {
      const auto name = std::string(snapshots_prefix) + id;
      if (!is_snapshot_id(id)) {
        keep(name, error.describe(), "it bears no name that pgstrata gives: move it elsewhere");
      } else if (is_lasting_loss(error)) {
        drop(name, error.describe(),
             [this_space = &space_, id = id] { return is_lastingly_damaged(get_snapshot(*this_space, id)); });
        plan_.lost_snapshots.push_back({id, {}, {}, error.describe()});
      } else {
        keep_for_now(name, error);
        record_not_read_ = true;
      }
    }
  }

  // What of it is damaged, as verify says it.
  [[nodiscard]] std::string what_breaks(const std::string& id) const {
    std::string what;
    for (const auto& object : findings_.report.damaged) {
      if (std::ranges::find(object.snapshots, id) == object.snapshots.end()) continue;
      what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", object.name, object.what);
    }
    return what;
  }

  // WAL that stays may be made whole by a stream yet.
  [[nodiscard]] std::set<std::string> snapshots_that_go() const {
    auto ids = findings_.lasting.snapshots;
    for (const auto& lacking : findings_.lacking_wal) {
      if (plan_.lost.segments.contains({lacking.timeline, lacking.start})) ids.insert(lacking.snapshot);
    }
    return ids;
  }

  void plan_broken_snapshots() {
    plan_.lost.snapshots = snapshots_that_go();
    for (const auto& snapshot : findings_.list.snapshots) {
      if (!plan_.lost.snapshots.contains(snapshot.id)) {
        staying_.push_back(&snapshot);
        continue;
      }
      const auto what = what_breaks(snapshot.id);
      drop(std::string(snapshots_prefix) + snapshot.id, "it cannot be restored whole: " + what,
           [] { return Result<bool>(true); });
      plan_.lost_snapshots.push_back({snapshot.id, snapshot.consistent_time, snapshot.consistent_lsn, what});
    }
  }

  [[nodiscard]] std::vector<std::string> staying_that_name(const PackId& id) const {
    std::vector<std::string> ids;
    for (const auto* snapshot : staying_) {
      if (std::ranges::binary_search(snapshot->packs, id)) ids.push_back(snapshot->id);
    }
    return ids;
  }

  Result<void> plan_packs() {
    for (const auto& [id, damage] : findings_.packs.damaged) {
      auto needing = staying_that_name(id);
      const auto name = pack_name(id);
      if (!needing.empty()) {
        keep(name, damage.what, why_pack_stays(damage), std::move(needing));
      } else if (damage.code == ErrorCode::not_found) {
        continue;  // with the snapshots that needed it all is said
      } else if (!damage.lasting) {
        keep(name, damage.what, "it was not read, and may be another time. " + damage.cure);
      } else if (record_not_read_) {
        keep(name, damage.what,
             "a snapshot whose record was not read may need what is sound of it: repair again once that can "
             "be read, "
             "and make no backup before");
      } else {
        drop(name, damage.what, [this_space = &space_, id = id, stop = &cancellation_]() -> Result<bool> {
          PGS_TRY(const auto now, look_at_pack(*this_space, id, *stop));
          return now && now->lasting && now->code == ErrorCode::damaged;
        });
      }
    }
    return {};
  }

  static std::string why_pack_stays(const PackDamage& damage) {
    if (!damage.lasting) return "it was not read, and may be another time. " + damage.cure;
    if (damage.code == ErrorCode::not_found) return "bring it back from a copy of the repository";
    return "snapshots need what is sound of it, and nothing else; new backups take no damaged chunk of it "
           "over";
  }

  // What damage that need not last, or a record that does not name a pack, takes from snapshots.
  void keep_what_snapshots_that_stay_lack() {
    for (const auto& object : findings_.report.damaged) {
      std::vector<std::string> lacking;
      for (const auto* snapshot : staying_) {
        if (std::ranges::find(object.snapshots, snapshot->id) != object.snapshots.end())
          lacking.push_back(snapshot->id);
      }
      if (lacking.empty()) continue;
      const auto relative = object.name.substr(space_.object_name("").size());
      keep(relative, object.what, "what was not read may be read another time. " + object.cure,
           std::move(lacking));
    }
  }

  Result<void> plan_wal() {
    for (const auto& [timeline, start] : findings_.broken.segments) {
      PGS_CHECK(cancellation_.check());
      const auto* objects = findings_.inventory.find(timeline, start);
      if (objects == nullptr) {
        plan_.lost.segments.emplace(timeline, start);
        continue;
      }
      const auto drops_before = plan_.drops.size();
      const auto kept_before = plan_.kept.size();
      const auto rewrites_before = plan_.rewrites.size();
      PGS_CHECK(objects->sealed.empty() ? plan_unsealed(*objects, timeline)
                                        : plan_sealed(objects->sealed, timeline, start));
      const auto dropped = plan_.drops.size() - drops_before;
      if (plan_.kept.size() > kept_before) {
        plan_.rewrites.resize(rewrites_before);
        continue;
      }
      // What can be read now has been healed since, unless it was read before and is too short.
      if (dropped == 0 && !findings_.wal_ends.contains({timeline, start})) continue;
      plan_.lost.segments.emplace(timeline, start);
      const bool rewritten = plan_.rewrites.size() > rewrites_before;
      if (dropped == object_count(*objects) && !rewritten) plan_.emptied_segments.emplace(timeline, start);
    }
    plan_.lost.histories = findings_.lasting.histories;
    plan_.lost.behind_holes = findings_.broken.behind_holes;
    return {};
  }

  static std::size_t object_count(const WalSegmentObjects& objects) {
    return (objects.sealed.empty() ? 0 : 1) + (objects.partial.empty() ? 0 : 1) + objects.tails.size();
  }

  Result<void> plan_sealed(const std::string& name, TimelineId timeline, Lsn start) {
    const auto read = [this_space = &space_, name, tli = timeline, start] {
      return read_sealed_segment(*this_space, name, tli, start);
    };
    const auto& segments = findings_.inventory.timelines().at(timeline);
    return plan_wal_object(name, read, segments.rbegin()->first == start);
  }

  Result<void> plan_unsealed(const WalSegmentObjects& objects, TimelineId timeline) {
    if (!objects.partial.empty()) {
      PGS_CHECK(plan_wal_object(
          objects.partial,
          [this_space = &space_, name = objects.partial] { return read_sealed(*this_space, name); }, true));
    }
    std::vector<WalTailObject> in_part;  // damaged, and with a beginning that can be read
    for (const auto& object : objects.tails) {
      const auto tail = read_tail(space_, object.name);
      if (tail && tail->damage) {
        in_part.push_back(object);
        continue;
      }
      const auto read = [this_space = &space_, name = object.name]() -> Result<void> {
        PGS_CHECK(read_tail(*this_space, name));
        return {};
      };
      PGS_CHECK(plan_wal_object(object.name, read, true));
    }
    return in_part.empty() ? Result<void>() : plan_damaged_in_part(objects, timeline, in_part);
  }

  // What their beginnings hold is written anew, and they go.
  Result<void> plan_damaged_in_part(const WalSegmentObjects& objects, TimelineId timeline,
                                    const std::vector<WalTailObject>& in_part) {
    const auto readable =
        read_wal_segment(space_, findings_.inventory, timeline, objects.start, objects.start);
    if (!readable && !is_damage(readable.error())) return std::unexpected(readable.error());
    for (const auto& object : in_part) {
      const auto read = [this_space = &space_, name = object.name]() -> Result<void> {
        PGS_TRY(const auto tail, read_tail(*this_space, name));
        return tail.damage ? Result<void>(std::unexpected(*tail.damage)) : Result<void>();
      };
      if (readable) {
        PGS_CHECK(plan_wal_object(object.name, read, true));
      } else {
        keep(object.name, readable.error().describe(), "its beginning can be read: repair again");
      }
    }
    if (!readable) return {};
    const Lsn end = objects.start + readable->bytes.size();
    PGS_TRY(const Lsn elsewhere, end_without(objects, in_part));
    if (end > elsewhere) plan_.rewrites.push_back({timeline, objects.start, end});
    return {};
  }

  // How far the segment's other objects reach from its start on, with what a crash takes from none of them.
  Result<Lsn> end_without(const WalSegmentObjects& objects, const std::vector<WalTailObject>& in_part) const {
    std::vector<std::pair<Lsn, Lsn>> spans;
    if (!objects.partial.empty()) {
      auto reader = WalSegmentReader::open(space_, objects.partial);
      if (reader) spans.emplace_back(objects.start, objects.start + reader->content_bytes());
    }
    for (const auto& object : objects.tails) {
      if (std::ranges::find(in_part, object.name, &WalTailObject::name) != in_part.end()) continue;
      const auto tail = read_tail(space_, object.name);
      if (!tail && !is_damage(tail.error())) return std::unexpected(tail.error());
      if (!tail || tail->pieces.empty() || !tail->durable_to.valid()) continue;
      spans.emplace_back(tail->pieces.front().start, tail->durable_to);
    }
    std::ranges::sort(spans);
    Lsn end = objects.start;
    for (const auto& [from, to] : spans) {
      if (from <= end) end = std::max(end, to);
    }
    return end;
  }

  // `may_grow`: a stream that is at work may be writing to it, or about to put a sound one in its place.
  Result<void> plan_wal_object(const std::string& name, const std::function<Result<void>()>& read,
                               bool may_grow) {
    const auto done = read();
    if (done) return {};
    if (!is_damage(done.error())) return done;
    if (done.error().code() == ErrorCode::not_found) return {};  // a stream has replaced it
    if (!is_lasting_damage(done.error())) {
      keep_for_now(name, done.error());
    } else if (may_grow && stream_at_work_) {
      keep(name, done.error().describe(),
           "a stream is at work on it. Where it stays damaged, stop the stream and repair again");
    } else {
      drop(name, done.error().describe(), [read] { return is_lastingly_damaged(read()); });
    }
    return {};
  }

  void keep_histories() {
    for (const auto timeline : findings_.broken.histories) {
      const auto name = fmt::format("timelines/{:08X}", timeline.value);
      const auto* object = reported(name);
      keep(name, object == nullptr ? std::string("it is damaged") : object->what,
           fmt::format("`pgstrata stream {}` stores it again from a source that has it", space_.name()));
    }
  }

  Result<void> plan_marks() {
    PGS_TRY(const auto marks, damaged_marks(space_));
    for (const auto& [timeline, error] : marks) {
      const auto name = fmt::format("timelines/{:08X}.aside", timeline.value);
      if (!is_lasting_damage(error)) {
        keep_for_now(name, error);
        continue;
      }
      drop(
          name,
          fmt::format("{}; timeline {} counts as the cluster's, as it did with it, until `pgstrata stream {} "
                      "--new-primary` with the primary's --url",
                      error.describe(), timeline, space_.name()),
          [this_space = &space_, tli = timeline]() -> Result<bool> {
            PGS_TRY(const auto now, damaged_marks(*this_space));
            const auto mark = now.find(tli);
            return mark != now.end() && is_lasting_damage(mark->second);
          });
    }
    return {};
  }

  Result<void> plan_leases() {
    PGS_TRY(const auto leases, space_.list(leases_prefix));
    for (const auto& object : leases) {
      const auto name = object.name.substr(leases_prefix.size());
      const auto holder = lease_holder(space_, name);
      if (holder) continue;
      if (!is_damage(holder.error())) return std::unexpected(holder.error());
      if (!is_lasting_damage(holder.error())) {
        keep_for_now(object.name, holder.error());
      } else if (!is_lease_name(name)) {
        keep(object.name, holder.error().describe(),
             "it bears no name that pgstrata gives: move it elsewhere");
      } else {
        drop(object.name, holder.error().describe(),
             [this_space = &space_, name] { return is_lastingly_damaged(lease_holder(*this_space, name)); });
      }
    }
    return {};
  }

  const ClusterSpace& space_;
  const Findings& findings_;
  const bool stream_at_work_;
  const Cancellation& cancellation_;
  std::vector<const SnapshotRecord*> staying_;
  bool record_not_read_ = false;  // of a snapshot that stays
  RepairPlan plan_;
};

}  // namespace

Result<RepairPlan> plan_repair(const ClusterSpace& space, const Findings& findings, bool stream_at_work,
                               const Cancellation& cancellation) {
  return Planning(space, findings, stream_at_work, cancellation).plan();
}

Result<std::optional<PackDamage>> look_at_pack(const ClusterSpace& space, const PackId& id,
                                               const Cancellation& cancellation) {
  PGS_TRY(auto check, check_packs(space, {id}, {}, cancellation));
  if (check.damaged.empty()) return std::nullopt;
  return std::optional(std::move(check.damaged.begin()->second));
}

}  // namespace pgstrata
