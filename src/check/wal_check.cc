#include "check/wal_check.h"

#include <algorithm>
#include <random>

#include "catalog/wal_reader.h"

namespace pgstrata {

namespace {

class WalChecking {
 public:
  WalChecking(const ClusterSpace& space, const WalInventory& inventory, const ContentSample& sample,
              const Cancellation& cancellation)
      : space_(space), inventory_(inventory), sample_(sample), cancellation_(cancellation) {}

  Result<WalCheck> run(const SnapshotList& list,
                       const std::function<void(std::uint64_t bytes_read)>& on_segment) {
    for (const auto& [timeline, segments] : inventory_.timelines()) {
      for (const auto& [start, objects] : segments) {
        PGS_CHECK(cancellation_.check());
        const bool whole = objects.sealed.empty() || is_chosen(timeline, start);
        PGS_CHECK(check_segment(timeline, objects, whole));
        on_segment(whole ? objects.stored_bytes : 0);
      }
    }
    for (const auto& snapshot : list.snapshots) PGS_CHECK(check_wal_of(snapshot));
    return std::move(check_);
  }

 private:
  // Whether that segment is one of those that are read.
  [[nodiscard]] bool is_chosen(TimelineId timeline, Lsn start) const {
    if (sample_.percent <= 0 || sample_.percent >= 100) return sample_.percent > 0;
    std::seed_seq seeds{sample_.seed, sample_.seed >> 32, std::uint64_t{timeline.value}, start.value,
                        start.value >> 32};
    std::mt19937_64 random(seeds);
    return std::uniform_real_distribution<double>(0, 100)(random) < sample_.percent;
  }

  Result<void> check_segment(TimelineId timeline, const WalSegmentObjects& objects, bool whole) {
    const auto end = whole ? read_to_its_end(timeline, objects)
                           : end_of_sealed_wal(space_, objects.sealed, timeline, objects.start);
    ++check_.segments;
    if (whole) ++check_.segments_read;
    if (end) {
      check_.ends[{timeline, objects.start}] = *end;
      return {};
    }
    if (!is_damage(end.error())) return std::unexpected(end.error());
    check_.damaged.push_back(
        {space_.object_name(name_of(objects)), end.error().describe(), {}, {}, cure_of(end.error())});
    break_segment(timeline, objects.start, is_lasting_loss(end.error()));
    return {};
  }

  Result<Lsn> read_to_its_end(TimelineId timeline, const WalSegmentObjects& objects) {
    auto bytes = read_wal_segment(space_, inventory_, timeline, objects.start);
    if (!bytes && bytes.error().code() == ErrorCode::not_found && objects.sealed.empty())
      bytes = read_what_moved(timeline, objects.start);
    PGS_CHECK(bytes);
    return objects.start + bytes->bytes.size();
  }

  // A stream that begins anew replaces the tails that were listed, and may do so again.
  Result<WalSegmentBytes> read_what_moved(TimelineId timeline, Lsn start) {
    constexpr int attempts = 5;
    for (int attempt = 1;; ++attempt) {
      PGS_TRY(const auto inventory, WalInventory::load(space_, inventory_.segment_bytes()));
      auto bytes = read_wal_segment(space_, inventory, timeline, start);
      if (bytes) check_.moved = true;
      if (bytes || bytes.error().code() != ErrorCode::not_found || attempt == attempts) return bytes;
    }
  }

  // The WAL that makes the snapshot consistent was there when it was published.
  Result<void> check_wal_of(const SnapshotRecord& snapshot) {
    Lsn start = inventory_.segment_start(snapshot.start_lsn);
    for (; start < snapshot.consistent_lsn; start += inventory_.segment_bytes()) {
      const Lsn needed = std::min(snapshot.consistent_lsn, start + inventory_.segment_bytes());
      PGS_TRY(const Lsn end, readable_end(snapshot.timeline, start, needed));
      if (end < needed) blame(snapshot, start, needed);
    }
    return {};
  }

  // How far that segment can be read by who needs it up to `needed` only.
  Result<Lsn> readable_end(TimelineId timeline, Lsn start, Lsn needed) {
    const auto end = check_.ends.find({timeline, start});
    if (end != check_.ends.end()) return end->second;
    const auto* objects = inventory_.find(timeline, start);
    if (objects == nullptr || !objects->sealed.empty()) return start;
    const auto bytes = read_wal_segment(space_, inventory_, timeline, start, needed);
    if (!bytes && !is_damage(bytes.error())) return std::unexpected(bytes.error());
    return bytes ? start + bytes->bytes.size() : start;
  }

  void blame(const SnapshotRecord& snapshot, Lsn start, Lsn needed) {
    const auto* objects = inventory_.find(snapshot.timeline, start);
    const auto end = check_.ends.find({snapshot.timeline, start});
    const bool read = end != check_.ends.end();
    check_.lacking.push_back({snapshot.id, snapshot.timeline, start});
    break_segment(snapshot.timeline, start, objects == nullptr || read);
    const auto what = objects == nullptr ? std::string("it is missing")
                      : !read
                          ? std::string("it cannot be read")
                          : fmt::format("WAL ends at {}, a snapshot needs it up to {}", end->second, needed);
    const auto name = objects == nullptr
                          ? wal_object_name(snapshot.timeline, start, inventory_.segment_bytes())
                          : name_of(*objects);
    auto& needing = damaged_object(space_.object_name(name), what).snapshots;
    if (std::ranges::find(needing, snapshot.id) == needing.end()) needing.push_back(snapshot.id);
  }

  DamagedObject& damaged_object(const std::string& name, const std::string& what) {
    const auto known = std::ranges::find(check_.damaged, name, &DamagedObject::name);
    if (known != check_.damaged.end()) return *known;
    check_.damaged.push_back({name, what, {}, {}});
    return check_.damaged.back();
  }

  void break_segment(TimelineId timeline, Lsn start, bool lasting) {
    check_.broken.emplace(timeline, start);
    if (lasting) check_.lasting.emplace(timeline, start);
  }

  static const std::string& name_of(const WalSegmentObjects& objects) {
    if (!objects.sealed.empty()) return objects.sealed;
    return objects.partial.empty() ? objects.tails.front().name : objects.partial;
  }

  const ClusterSpace& space_;
  const WalInventory& inventory_;
  const ContentSample& sample_;
  const Cancellation& cancellation_;
  WalCheck check_;
};

}  // namespace

Result<WalCheck> check_wal(const ClusterSpace& space, const SnapshotList& list, const WalInventory& inventory,
                           const ContentSample& sample, const Cancellation& cancellation,
                           const std::function<void(std::uint64_t bytes_read)>& on_segment) {
  return WalChecking(space, inventory, sample, cancellation).run(list, on_segment);
}

}  // namespace pgstrata
