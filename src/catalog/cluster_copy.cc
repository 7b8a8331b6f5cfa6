#include "catalog/cluster_copy.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/log.h"
#include "catalog/condemned.h"
#include "catalog/object_copy.h"
#include "catalog/retention_floor.h"
#include "catalog/retention_horizon.h"
#include "catalog/snapshot_record.h"
#include "catalog/wal_reader.h"
#include "repo/damage.h"

namespace pgstrata {
namespace {

using Sizes = std::map<std::string, std::uint64_t, std::less<>>;

Result<Sizes> sizes_of(const ClusterSpace& space, std::string_view prefix) {
  PGS_TRY(const auto objects, space.list(prefix));
  Sizes sizes;
  for (const ObjectInfo& object : objects) sizes.emplace(object.name, object.size_bytes);
  return sizes;
}

struct ObjectToCopy {
  std::string name;
  CopiedForm form;
  std::uint64_t size_bytes;
};

class ClusterCopy {
 public:
  ClusterCopy(const ClusterSpace& from, const ClusterSpace& to, std::uint32_t wal_segment_bytes,
              const CopyOptions& options, const Cancellation& cancellation)
      : from_(from),
        to_(to),
        wal_segment_bytes_(wal_segment_bytes),
        options_(options),
        cancellation_(cancellation) {}

  Result<CopyReport> run() {
    PGS_CHECK(check_nothing_condemned());
    // The roots first: what they reach is there from then on.
    PGS_TRY(const SnapshotList list, list_snapshots(from_));
    for (const auto& damaged : list.damaged) leave_out("snapshots/" + damaged.id, damaged.error);
    PGS_TRY(const WalInventory inventory, WalInventory::load(from_, wal_segment_bytes_));
    PGS_TRY(const auto packs, packs_to_copy(list));
    PGS_TRY(const auto segments, segments_to_copy(inventory));
    progress_.objects_total = packs.size() + segments.size();
    PGS_CHECK(copy_all(packs));
    PGS_CHECK(copy_timelines());
    PGS_CHECK(copy_retention());
    PGS_CHECK(copy_all(segments));
    PGS_CHECK(copy_tails(inventory));
    PGS_CHECK(copy_snapshots(list));
    PGS_TRY(const bool copied,
            copy_record(from_, to_, "cluster", RecordKind::cluster, options_.still_allowed));
    count_record(copied);
    PGS_TRY(again_, source_was_pruned(list));
    return std::move(report_);
  }
  // Whether that is not all there is by now.
  [[nodiscard]] bool again() const { return again_; }

 private:
  void leave_out(const std::string& name, const Error& error) {
    report_.left_out.push_back({from_.object_name(name), error.describe()});
    broken_.insert(name);
  }

  void count_record(bool copied) { ++(copied ? report_.objects : report_.objects_there); }

  // What is condemned there would be taken for copied, and go.
  Result<void> check_nothing_condemned() {
    PGS_TRY(const auto notes, list_condemned_notes(to_));
    if (notes.empty()) return {};
    return std::unexpected(
        make_error(ErrorCode::busy, "a prune of {} in {} is under way or was interrupted", to_.name(),
                   to_.store().describe())
            .with_hint(fmt::format("`pgstrata prune {} --repo {}` finishes it; then copy again.", to_.name(),
                                   to_.store().describe())));
  }

  Result<std::vector<ObjectToCopy>> packs_to_copy(const SnapshotList& list) {
    PGS_TRY(const Sizes there, sizes_of(to_, "packs/"));
    PGS_TRY(const Sizes here, sizes_of(from_, "packs/"));
    std::set<PackId> reached;
    for (const SnapshotRecord& snapshot : list.snapshots)
      reached.insert(snapshot.packs.begin(), snapshot.packs.end());
    std::vector<ObjectToCopy> packs;
    for (const PackId& id : reached) {
      const std::string name = pack_name(id);
      const auto size = here.find(name);
      if (size == here.end()) {
        leave_out(name, Error(ErrorCode::not_found, "it is missing"));
      } else {
        add(packs, there, {name, CopiedForm::pack, size->second});
      }
    }
    return packs;
  }

  Result<std::vector<ObjectToCopy>> segments_to_copy(const WalInventory& inventory) {
    PGS_TRY(const Sizes there, sizes_of(to_, "wal/"));
    PGS_TRY(const Sizes here, sizes_of(from_, "wal/"));
    std::vector<ObjectToCopy> segments;
    for (const auto& [timeline, by_start] : inventory.timelines()) {
      for (const auto& [start, objects] : by_start) {
        const std::string& name = objects.sealed.empty() ? objects.partial : objects.sealed;
        const auto size = here.find(name);
        if (size != here.end()) add(segments, there, {name, CopiedForm::wal, size->second});
      }
    }
    return segments;
  }

  void add(std::vector<ObjectToCopy>& to_copy, const Sizes& there, ObjectToCopy object) {
    const auto size = there.find(object.name);
    if (size != there.end() && size->second == object.size_bytes) {
      ++report_.objects_there;
    } else {
      to_copy.push_back(std::move(object));
    }
  }

  Result<void> copy_all(const std::vector<ObjectToCopy>& objects) {
    std::optional<Error> failure;
    std::mutex mutex;  // guards failure, report_, broken_ and progress_
    std::atomic<std::size_t> next{0};
    const auto copy_next = [&] {
      for (std::size_t at = next++; at < objects.size(); at = next++) {
        auto copied = cancellation_.check() ? copy_object(from_, to_, objects[at].name, objects[at].form,
                                                          objects[at].size_bytes, options_.still_allowed)
                                            : std::unexpected(cancellation_.check().error());
        const std::lock_guard lock(mutex);
        if (failure) return;
        if (!copied && !is_damage(copied.error())) {
          failure = std::move(copied).error();
          return;
        }
        copied ? count(*copied) : leave_out(objects[at].name, copied.error());
      }
    };
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < std::max(1U, options_.workers); ++i) threads.emplace_back(copy_next);
    }
    if (failure) return std::unexpected(std::move(*failure));
    return {};
  }

  void count(std::uint64_t bytes) {
    ++report_.objects;
    report_.bytes += bytes;
    ++progress_.objects;
    progress_.bytes += bytes;
    if (options_.on_progress) options_.on_progress(progress_);
  }

  Result<void> copy_timelines() {
    PGS_TRY(const Sizes records, sizes_of(from_, "timelines/"));
    for (const auto& [name, size] : records) {
      const auto kind =
          name.ends_with(".aside") ? RecordKind::timeline_set_aside : RecordKind::timeline_history;
      PGS_CHECK(note_record(name, copy_record(from_, to_, name, kind, options_.still_allowed)));
    }
    // A mark that was taken back is none of the copy's.
    PGS_TRY(const Sizes there, sizes_of(to_, "timelines/"));
    for (const auto& [name, size] : there) {
      if (name.ends_with(".aside") && !records.contains(name))
        PGS_CHECK(to_.store().remove(to_.object_name(name)));
    }
    return {};
  }

  Result<void> note_record(const std::string& name, Result<bool> copied) {
    if (!copied && !is_damage(copied.error())) return std::unexpected(std::move(copied).error());
    if (copied) {
      count_record(*copied);
    } else {
      leave_out(name, copied.error());
    }
    return {};
  }

  // What the source let go is missing here for the same reason, unless the copy has older WAL by itself; what must stay there
  // must stay here. A damaged floor keeps nobody from making a copy.
  Result<void> copy_retention() {
    PGS_TRY(WalHorizons horizons, get_wal_horizons(from_));
    PGS_TRY(const WalInventory there, WalInventory::load(to_, wal_segment_bytes_));
    std::erase_if(horizons, [&there](const auto& horizon) {
      const auto segments = there.timelines().find(horizon.first);
      return segments != there.timelines().end() && segments->second.begin()->first < horizon.second;
    });
    PGS_CHECK(options_.still_allowed());
    if (!horizons.empty()) PGS_CHECK(advance_wal_horizons(to_, horizons));
    const auto floor = get_retention_floor(from_);
    if (floor) return as_void(raise_retention_floor(to_, *floor));
    if (!is_damage(floor.error())) return std::unexpected(floor.error());
    log_warning("the retention floor of {} is not copied: {}", from_.name(), floor.error().describe());
    return {};
  }

  static Result<void> as_void(const Result<std::chrono::seconds>& result) {
    PGS_CHECK(result);
    return {};
  }

  // A prune of the source was at work meanwhile: what it took away is no damage, and it may have published snapshots anew.
  Result<bool> source_was_pruned(const SnapshotList& list) {
    PGS_TRY(const auto ids, list_snapshot_ids(from_));
    const std::set<std::string> there(ids.begin(), ids.end());
    return std::ranges::any_of(list.snapshots,
                               [&](const SnapshotRecord& snapshot) { return !there.contains(snapshot.id); });
  }

  Result<void> copy_tails(const WalInventory& inventory) {
    PGS_TRY(const WalInventory there, WalInventory::load(to_, wal_segment_bytes_));
    for (const auto& [timeline, by_start] : inventory.timelines()) {
      for (const auto& [start, objects] : by_start) {
        PGS_CHECK(cancellation_.check());
        const auto* copy = there.find(timeline, start);
        const bool whole = copy != nullptr && !copy->sealed.empty();
        if (!whole && !objects.tails.empty()) PGS_CHECK(copy_tail(inventory, there, timeline, start));
        if (whole && copy != nullptr) PGS_CHECK(remove_tails(*copy));
      }
    }
    return {};
  }

  Result<void> copy_tail(const WalInventory& inventory, const WalInventory& there, TimelineId timeline,
                         Lsn start) {
    auto wal = read_wal_segment(from_, inventory, timeline, start);
    if (!wal) {
      if (!is_damage(wal.error())) return std::unexpected(std::move(wal).error());
      leave_out(wal_object_name(timeline, start, wal_segment_bytes_), wal.error());
      return {};
    }
    const auto* copy = there.find(timeline, start);
    if (copy != nullptr) {
      const auto copied = read_wal_segment(to_, there, timeline, start);
      if (copied && copied->bytes.size() >= wal->bytes.size() && copied->mark.time >= wal->mark.time) {
        ++report_.objects_there;
        return {};
      }
    }
    PGS_CHECK(options_.still_allowed());
    PGS_CHECK(write_tails(timeline, *wal));
    report_.bytes += wal->bytes.size();
    return copy == nullptr ? Result<void>() : remove_tails(*copy);
  }

  // Of a large segment several: one that is put whole is bounded.
  Result<void> write_tails(TimelineId timeline, const WalSegmentBytes& wal) {
    constexpr std::size_t tail_max_bytes = 16U << 20;
    ByteView rest = wal.bytes;
    do {
      const Lsn start = wal.start + (wal.bytes.size() - rest.size());
      PGS_TRY(auto tail, WalTailWriter::create(to_, timeline, start, wal_segment_bytes_));
      PGS_CHECK(tail.append(rest.first(std::min(rest.size(), tail_max_bytes))));
      rest = rest.subspan(std::min(rest.size(), tail_max_bytes));
      if (rest.empty() && wal.mark.time.valid()) PGS_CHECK(tail.mark(wal.mark));
      PGS_CHECK(tail.vouch());
      ++report_.objects;
    } while (!rest.empty());
    return {};
  }

  Result<void> remove_tails(const WalSegmentObjects& objects) {
    for (const WalTailObject& tail : objects.tails) PGS_CHECK(to_.store().remove(to_.object_name(tail.name)));
    return {};
  }

  Result<void> copy_snapshots(const SnapshotList& list) {
    for (const SnapshotRecord& snapshot : list.snapshots) {
      const std::string name = "snapshots/" + snapshot.id;
      const auto broken = std::ranges::find_if(
          snapshot.packs, [&](const PackId& id) { return broken_.contains(pack_name(id)); });
      if (broken != snapshot.packs.end()) {
        leave_out(name, make_error(ErrorCode::damaged, "it needs {}", from_.object_name(pack_name(*broken))));
        continue;
      }
      auto copied = copy_record(from_, to_, name, RecordKind::snapshot, options_.still_allowed);
      if (copied) ++report_.snapshots;
      PGS_CHECK(note_record(name, std::move(copied)));
    }
    return {};
  }

  const ClusterSpace& from_;
  const ClusterSpace& to_;
  const std::uint32_t wal_segment_bytes_;
  const CopyOptions& options_;
  const Cancellation& cancellation_;
  CopyReport report_;
  CopyProgress progress_;
  bool again_ = false;
  std::set<std::string, std::less<>> broken_;  // names within the cluster
};

}  // namespace

Result<CopyReport> copy_cluster(const ClusterSpace& from, const ClusterSpace& to,
                                std::uint32_t wal_segment_bytes, const CopyOptions& options,
                                const Cancellation& cancellation) {
  constexpr int passes_max = 5;
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  for (int pass = 1;; ++pass) {
    ClusterCopy copy(from, to, wal_segment_bytes, options, cancellation);
    PGS_TRY(CopyReport report, copy.run());
    objects += report.objects;
    bytes += report.bytes;
    if (copy.again() && pass < passes_max) continue;
    report.objects = objects;
    report.bytes = bytes;
    return report;
  }
}

}  // namespace pgstrata
