// A repository that says at each change whether what has to hold of it still does. For tests only.
#pragma once

#include <map>
#include <set>

#include "catalog/coverage.h"
#include "catalog/snapshot_record.h"
#include "check/verify.h"
#include "repo/test_store.h"
#include "snapshot/extent_reader.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata::testing {

inline constexpr std::uint32_t simulated_segment_bytes = 1U << 20;

// The start of the last sealed segment; nothing before the first.
inline std::optional<Lsn> last_sealed(const WalInventory& inventory) {
  std::optional<Lsn> last;
  for (const auto& [timeline, segments] : inventory.timelines()) {
    for (const auto& [start, objects] : segments) {
      if (!objects.sealed.empty()) last = start;
    }
  }
  return last;
}

// Every file of a snapshot, extent by extent. Errors: those of the readers.
inline Result<void> read_whole_snapshot(const ClusterSpace& space, const SnapshotRecord& record) {
  FileTreeReader tree(space, record.tree);
  FileTreeReader extents(space, record.tree);
  ExtentReader reader(space);
  Bytes content(extent_bytes);
  return tree.for_each([&](const FileEntry& file) -> Result<void> {
    for (std::uint64_t number = 0; number < extent_count(file.size_bytes); ++number) {
      PGS_TRY(const auto refs, extents.extents(file, number, 1));
      PGS_CHECK(reader.read(refs.front(), extent_size(file.size_bytes, number), content));
    }
    return {};
  });
}

// What has to hold at every moment: each snapshot has its packs and the WAL that makes it consistent, one stays, and the WAL
// from the newest on is whole.
class SimulatedRepository final : public BorrowedStore {
 public:
  // A copy may have the WAL's end before the snapshot that it follows.
  SimulatedRepository(std::string name, bool receives_wal, const Clock& clock)
      : SimulatedRepository(std::move(name), receives_wal, std::make_unique<MemoryStore>(clock)) {}

  void take_over(ObjectStore& other) {
    const auto objects = other.list_all("").value();
    for (const auto& object : objects) PGS_ASSERT(memory_->put(object.name, other.get(object.name).value()));
    const auto ids = list_snapshot_ids(space).value();
    for (const auto& id : ids) learn_snapshot(id);
    began_with_ = Timestamp{INT64_MAX};
    for (const auto& [id, record] : snapshots_there_)
      began_with_ = std::min(began_with_, record.consistent_time);
  }

  Result<void> put(std::string_view name, ByteView content) override {
    auto done = memory_->put(name, content);
    if (done && name.starts_with(snapshots_)) check_published(name.substr(snapshots_.size()));
    return done;
  }
  Result<void> remove(std::string_view name) override {
    auto done = memory_->remove(name);
    if (name.starts_with(snapshots_)) check_snapshot_removed(name.substr(snapshots_.size()));
    if (name.starts_with(packs_)) check_pack_removed(name.substr(packs_.size()));
    if (name.starts_with(wal_)) check_wal("the removal of " + std::string(name));
    return done;
  }

  void fail(std::string what) {
    if (violation.empty()) violation = label + ": " + std::move(what);
  }

  [[nodiscard]] const std::map<std::string, SnapshotRecord>& snapshots() const { return snapshots_there_; }
  [[nodiscard]] ObjectStore& memory() { return *memory_; }

  // Once nobody is at work.
  void check_at_rest(std::chrono::seconds shortest_window, bool thoroughly) {
    const Cancellation cancellation;
    if (thoroughly) check_all_sound(cancellation);
    const auto coverage = compute_coverage(space, simulated_segment_bytes, cancellation);
    if (!coverage) return fail("coverage: " + coverage.error().describe());
    const auto inventory = WalInventory::load(space, simulated_segment_bytes).value();
    for (const auto& damaged : coverage->damaged_snapshots)
      fail("snapshot " + damaged.id + ": " + damaged.error.describe());
    // A copy may make a tail of a segment that is sealed meanwhile: its zeros are no WAL.
    for (const auto& damaged : coverage->damaged_wal) {
      const auto* objects = inventory.find(damaged.timeline, inventory.segment_start(damaged.from));
      if (objects != nullptr && !objects->sealed.empty())
        fail(fmt::format("WAL at {}: {}", damaged.from, damaged.error.describe()));
    }
    for (const auto& snapshot : coverage->snapshots) {
      if (const auto read = read_whole_snapshot(space, snapshot); !read)
        fail("snapshot " + snapshot.id + " is covered: " + read.error().describe());
    }
    check_ranges(*coverage, inventory, shortest_window);
  }

  // After a prune that nothing disturbed.
  void check_nothing_left_over() {
    if (!space.list("condemned/").value().empty()) fail("a note is left over");
    std::set<std::string> reached;
    for (const auto& [id, record] : snapshots_there_) {
      for (const PackId& pack : record.packs) reached.insert(pack_name(pack));
    }
    const auto objects = space.list("packs/").value();
    for (const auto& object : objects) {
      if (!reached.contains(object.name)) fail("nothing reaches " + object.name);
    }
  }

  const std::string label;
  std::string violation;     // the first
  const ClusterSpace space;  // without a way through this, for who looks

 private:
  SimulatedRepository(std::string name, bool receives_wal, std::unique_ptr<MemoryStore> memory)
      : BorrowedStore(*memory),
        label(std::move(name)),
        space(*memory, "app", fixed_key(7)),
        receives_wal_(receives_wal),
        memory_(std::move(memory)) {}

  void learn_snapshot(std::string_view id) {
    snapshots_there_.emplace(std::string(id), get_snapshot(space, id).value());
  }

  void check_published(std::string_view id) {
    learn_snapshot(id);
    const SnapshotRecord& record = snapshots_there_.find(std::string(id))->second;
    for (const PackId& pack : record.packs) {
      if (!memory_->stat(space.object_name(pack_name(pack))))
        fail(fmt::format("snapshot {} was published without its pack {}", id, to_string(pack)));
    }
    check_wal("the publishing of " + std::string(id));
  }

  void check_snapshot_removed(std::string_view id) {
    snapshots_there_.erase(std::string(id));
    if (snapshots_there_.empty()) fail("the last snapshot was removed");
    check_wal("the removal of snapshot " + std::string(id));
  }

  void check_pack_removed(std::string_view text) {
    const auto pack = parse_pack_id(text).value();
    for (const auto& [id, record] : snapshots_there_) {
      if (std::ranges::binary_search(record.packs, pack))
        fail(fmt::format("pack {} was removed, which snapshot {} needs", text, id));
    }
  }

  void check_wal(const std::string& after) {
    const auto inventory = WalInventory::load(space, simulated_segment_bytes).value();
    Lsn newest;
    for (const auto& [id, record] : snapshots_there_) {
      newest = std::max(newest, record.start_lsn);
      expect_wal(inventory, record.start_lsn, record.consistent_lsn, after, id);
    }
    if (const auto last = last_sealed(inventory); receives_wal_ && last)
      expect_wal(inventory, newest, *last, after, "the newest");
  }

  void expect_wal(const WalInventory& inventory, Lsn from, Lsn to, const std::string& after,
                  std::string_view what) {
    for (Lsn at = inventory.segment_start(from); at < to; at = at + simulated_segment_bytes) {
      if (inventory.find(TimelineId{1}, at) == nullptr)
        fail(fmt::format("after {}, the WAL at {} is missing, which {} needs", after, at, what));
    }
  }

  void check_all_sound(const Cancellation& cancellation) {
    VerifyOptions options;
    options.workers = 1;
    const auto report = verify_cluster(space, simulated_segment_bytes, options, cancellation);
    if (!report) return fail("verify: " + report.error().describe());
    for (const auto& damaged : report->damaged) fail("verify: " + damaged.name + ": " + damaged.what);
  }

  void check_ranges(const Coverage& coverage, const WalInventory& inventory,
                    std::chrono::seconds shortest_window) {
    if (coverage.ranges.empty()) fail("nothing can be restored");
    for (const auto& each : coverage.ranges)
      expect_wal(inventory, each.from_lsn, each.to_lsn, "all", "a range");
    if (!receives_wal_) return;
    const CoverageRange* range = newest_range(coverage);
    if (range == nullptr) return fail("nothing can be restored to now");
    const Lsn end = last_sealed(inventory).value() + simulated_segment_bytes;
    if (range->to_lsn != end)
      fail(fmt::format("the newest range ends at {}, the WAL at {}", range->to_lsn, end));
    const Timestamp covered_from = std::max(began_with_, range->to_time - shortest_window);
    if (range->from_time > covered_from)
      fail(fmt::format("nothing before {} can be restored; the policies keep {}", range->from_time,
                       covered_from));
  }

  const bool receives_wal_;
  const std::string snapshots_ = "clusters/app/snapshots/";
  const std::string packs_ = "clusters/app/packs/";
  const std::string wal_ = "clusters/app/wal/";
  const std::unique_ptr<MemoryStore> memory_;
  std::map<std::string, SnapshotRecord> snapshots_there_;
  Timestamp began_with_;  // the earliest moment that could be restored
};

}  // namespace pgstrata::testing
