// A cluster to be damaged and repaired. For tests only.
#pragma once

#include "check/repair.h"
#include "check/verify_test.h"
#include "repo/lease.h"
#include "repo/object_header.h"

namespace pgstrata::testing {

using Objects = std::map<std::string, Bytes>;

inline Objects objects_of(ObjectStore& store) {
  Objects objects;
  for (const auto& object : must(store.list_all(""))) objects[object.name] = must(store.get(object.name));
  return objects;
}

inline std::vector<std::string> names_of(ObjectStore& store) {
  std::vector<std::string> names;
  for (const auto& object : must(store.list_all(""))) names.push_back(object.name);
  return names;
}

inline std::vector<std::string> names_in(const Objects& objects) {
  std::vector<std::string> names;
  for (const auto& [name, content] : objects) names.push_back(name);
  return names;
}

inline void put_back(ObjectStore& store, const Objects& objects) {
  for (const auto& name : names_of(store)) ASSERT_TRUE(store.remove(name));
  for (const auto& [name, content] : objects) ASSERT_TRUE(store.put(name, content));
}

struct How {
  bool dry_run = false;
  bool stream_at_work = false;
};

inline Result<RepairReport> repair_in(ObjectStore& store, How how = {}, PublishingAllowed may_remove = {}) {
  PGS_TRY(const auto repository, Repository::open(borrow(store), NoEncryption{}));
  PGS_TRY(const auto space, repository.open_cluster("app"));
  const Cancellation cancellation;
  RepairOptions options;
  options.dry_run = how.dry_run;
  options.stream_at_work = how.stream_at_work;
  options.workers = 1;
  options.may_remove = std::move(may_remove);
  return repair_cluster(space, segment_bytes, options, cancellation);
}

// What a disk says of a bad sector.
class StoreWithBadSectors : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  std::set<std::string, std::less<>> unreadable;

  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes) override {
    PGS_CHECK(look(name));
    return BorrowedStore::get(name, limit_bytes);
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    PGS_CHECK(look(name));
    return BorrowedStore::read_some(name, offset, into);
  }
  Result<VersionedObject> get_versioned(std::string_view name) override {
    PGS_CHECK(look(name));
    return BorrowedStore::get_versioned(name);
  }

 private:
  Result<void> look(std::string_view name) const {
    if (!unreadable.contains(name)) return {};
    return std::unexpected(
        make_error(ErrorCode::damaged, "object \"{}\" cannot be read", name).with_error_number(EIO));
  }
};

// A store that returns one object wrong, as often as it is told.
class StoreThatMisreads : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  std::string name;
  std::atomic<int> times{0};

  Result<std::size_t> read_some(std::string_view read, std::uint64_t offset, MutableByteView into) override {
    PGS_TRY(const auto got, BorrowedStore::read_some(read, offset, into));
    const bool is_content = offset == object_header_size_bytes;  // not what says where it is
    if (read == name && is_content && times > 0) {
      --times;
      into[got / 2] ^= std::byte{1};
    }
    return got;
  }
};

class RepairTest : public VerifyTest {
 protected:
  RepairReport repair(How how = {}) { return must(repair_in(cluster_.store, how)); }

  static auto dropped(const std::string& name) { return ::testing::Field(&DroppedObject::name, name); }
  static auto kept(const std::string& name) { return ::testing::Field(&KeptObject::name, name); }
  static std::vector<std::string> ids_of(const std::vector<LostSnapshot>& lost) {
    std::vector<std::string> ids;
    for (const auto& snapshot : lost) ids.push_back(snapshot.id);
    return ids;
  }

  Coverage coverage() {
    return must(compute_coverage(*cluster_.space, segment_bytes, cluster_.cancellation));
  }
  bool there(const std::string& name) { return cluster_.store.stat(name).has_value(); }

  // Of all that is there: timeline 2 set aside, a lease, a difference, a tail.
  void add_one_of_each_kind() {
    cluster_.snapshot(record_in(3, 0), record_in(3, 25), changed_data_directory_files(), {}, TimelineId{1},
                      &first_);
    cluster_.seal(3, 4, TimelineId{2});
    cluster_.fork(segment_at(3) + segment_bytes / 4);
    ASSERT_TRUE(make_timeline_current(*cluster_.space, TimelineId{1}, {TimelineId{2}}));
    { const auto lease = must(Lease::acquire(*cluster_.space, "stream", "stream", system_clock())); }
    auto tail = must(WalTailWriter::create(*cluster_.space, TimelineId{1}, segment_at(4), segment_bytes));
    ASSERT_TRUE(tail.append(noise(5000, 1)));
    ASSERT_TRUE(tail.sync());
    ASSERT_TRUE(verify().sound());
  }

  std::vector<std::string> own_objects() {
    auto names = names_of(cluster_.store);
    std::erase_if(names, [&](const std::string& name) {
      return !name.starts_with("clusters/app/") || name == "clusters/app/key";
    });
    return names;
  }

  void damage(const std::string& name, std::size_t how) {
    if (how == 0) remove(name);
    if (how == 1) flip(name);
    if (how == 2) truncate(name);
    if (how == 3) overwrite(cluster_.store, name, {});
  }

  // A data pack of the first snapshot's, and where in it the chunk of a file is.
  ChunkRef chunk_of(const SnapshotRecord& snapshot, const std::string& path) {
    FileTreeReader tree(*cluster_.space, snapshot.tree);
    const auto file = must(tree.find(path));
    return *must(tree.extents(*file, 0, 1)).front().chunk;
  }
  static constexpr std::size_t frame = 8192;
  // Of the last segment, with a mark after the first frame.
  void write_tail_in_frames(Timestamp marked) {
    auto tail = must(WalTailWriter::create(*cluster_.space, TimelineId{1}, segment_at(3), segment_bytes));
    for (std::size_t from = 0; from < segment_bytes; from += frame) {
      ASSERT_TRUE(tail.append(SampleCluster::segment(3).subspan(from, frame)));
      if (from == 0) {
        ASSERT_TRUE(tail.mark({segment_at(3) + frame, marked}));
      }
      ASSERT_TRUE(tail.sync());
    }
  }
  void flip_at(const std::string& name, std::size_t at) {
    Bytes content = must(cluster_.store.get(name));
    content[at] ^= std::byte{0x40};
    overwrite(cluster_.store, name, content);
  }

  // Whatever the damage: what could be restored still can, what is left is sound or named, and a rehearsal
  // says the same.
  void expect_a_good_repair() {
    const auto before = verify(true);
    const auto promised = coverage();
    const auto list = must(list_snapshots(*cluster_.space));
    const auto rehearsed = repair({.dry_run = true});
    const auto report = repair();
    EXPECT_EQ(report.found.sound(), before.sound());
    // A rehearsal counts a segment that is to be written anew as lost whole.
    if (report.rewritten_wal.empty()) expect_same(rehearsed, report);
    EXPECT_EQ(verify(true).sound(), report.sound());
    for (const auto& snapshot : list.snapshots) {
      const bool broken = std::ranges::any_of(before.damaged, [&](const DamagedObject& object) {
        return std::ranges::find(object.snapshots, snapshot.id) != object.snapshots.end();
      });
      if (broken) continue;
      EXPECT_TRUE(there(name_of(snapshot)));
    }
    expect_still_covered(promised, before.lost);
    const auto again = repair();
    EXPECT_THAT(again.dropped, ::testing::IsEmpty());
    EXPECT_THAT(again.lost_snapshots, ::testing::IsEmpty());
  }

  static void expect_same(const RepairReport& rehearsed, const RepairReport& report) {
    ASSERT_EQ(rehearsed.dropped.size(), report.dropped.size());
    for (std::size_t i = 0; i < report.dropped.size(); ++i)
      EXPECT_EQ(rehearsed.dropped[i].name, report.dropped[i].name);
    EXPECT_EQ(ids_of(rehearsed.lost_snapshots), ids_of(report.lost_snapshots));
    EXPECT_EQ(rehearsed.lost, report.lost);
    EXPECT_EQ(rehearsed.missing_wal, report.missing_wal);
    EXPECT_EQ(rehearsed.sound(), report.sound());
    EXPECT_EQ(rehearsed.coverage.ranges.size(), report.coverage.ranges.size());
  }

  void expect_still_covered(const Coverage& promised, const std::vector<LostCoverage>& lost) {
    const auto now = coverage();
    const auto covers = [](const Coverage& coverage, Lsn lsn) {
      return std::ranges::any_of(coverage.ranges, [&](const CoverageRange& range) {
        return range.from_lsn <= lsn && lsn <= range.to_lsn;
      });
    };
    for (const auto& record : sample_records().all) {
      const bool is_lost = std::ranges::any_of(lost, [&](const LostCoverage& range) {
        return range.from_lsn <= record.end && record.end <= range.to_lsn;
      });
      if (is_lost || !covers(promised, record.end)) continue;
      EXPECT_TRUE(covers(now, record.end)) << fmt::format("{}", record.end);
      if (HasFailure()) return;
    }
  }
};

}  // namespace pgstrata::testing
