// What repair drops of each kind of damage, what it never touches, and that a second one finishes the first.
#include "check/repair.h"

#include "base/sanitized.h"
#include "check/verify_test.h"
#include "codec/digest.h"
#include "codec/endian.h"
#include "repo/lease.h"
#include "repo/object_header.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

using Objects = std::map<std::string, Bytes>;

Objects objects_of(ObjectStore& store) {
  Objects objects;
  for (const auto& object : must(store.list_all(""))) objects[object.name] = must(store.get(object.name));
  return objects;
}

std::vector<std::string> names_of(ObjectStore& store) {
  std::vector<std::string> names;
  for (const auto& object : must(store.list_all(""))) names.push_back(object.name);
  return names;
}

std::vector<std::string> names_in(const Objects& objects) {
  std::vector<std::string> names;
  for (const auto& [name, content] : objects) names.push_back(name);
  return names;
}

void put_back(ObjectStore& store, const Objects& objects) {
  for (const auto& name : names_of(store)) ASSERT_TRUE(store.remove(name));
  for (const auto& [name, content] : objects) ASSERT_TRUE(store.put(name, content));
}

struct How {
  bool dry_run = false;
  bool stream_at_work = false;
};

Result<RepairReport> repair_in(ObjectStore& store, How how = {}, PublishingAllowed may_remove = {}) {
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

  static auto dropped(const std::string& name) { return Field(&DroppedObject::name, name); }
  static auto kept(const std::string& name) { return Field(&KeptObject::name, name); }
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
    EXPECT_THAT(again.dropped, IsEmpty());
    EXPECT_THAT(again.lost_snapshots, IsEmpty());
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

TEST_F(RepairTest, ASoundClusterStaysAsItIs) {
  add_one_of_each_kind();
  const auto before = objects_of(cluster_.store);
  const auto report = repair();
  EXPECT_TRUE(report.found.sound());
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_THAT(report.coverage.ranges, Not(IsEmpty()));
  EXPECT_EQ(objects_of(cluster_.store), before);
}

TEST_F(RepairTest, ARehearsalRemovesNothing) {
  flip(name_of(first_));
  const auto before = objects_of(cluster_.store);
  const auto report = repair({.dry_run = true});
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name_of(first_))));
  EXPECT_EQ(objects_of(cluster_.store), before);
}

TEST_F(RepairTest, OfEachObjectAndEachDamageWhatIsWholeStays) {
  add_one_of_each_kind();
  const auto sound = objects_of(cluster_.store);
  for (const auto& name : own_objects()) {
    for (std::size_t how = 0; how < 4; how += sanitized ? 3 : 1) {
      SCOPED_TRACE(fmt::format("{} damaged in way {}", name, how));
      damage(name, how);
      expect_a_good_repair();
      put_back(cluster_.store, sound);
      if (HasFailure()) return;
    }
  }
}

TEST_F(RepairTest, OfManyDamagesAtOnceWhatIsWholeStays) {
  add_one_of_each_kind();
  remove(wal_name(3));
  write_tail_in_frames(first_.consistent_time + std::chrono::hours(1));
  ASSERT_TRUE(verify().sound());
  const auto sound = objects_of(cluster_.store);
  const auto names = own_objects();
  for (std::uint64_t seed = 1; seed <= (sanitized ? 8U : 40U); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937_64 random(seed);
    for (std::uint64_t count = 2 + random() % 3; count > 0; --count) {
      const auto& name = names[random() % names.size()];
      const auto object = cluster_.store.stat(name);
      const bool empty = !object || object->size_bytes == 0;  // damaged before
      if (empty) continue;
      if (random() % 2 == 0) {
        damage(name, random() % 4);
      } else {
        flip_at(name, random() % object->size_bytes);
      }
    }
    expect_a_good_repair();
    put_back(cluster_.store, sound);
    if (HasFailure()) return;
  }
}

TEST_F(RepairTest, ASnapshotWhosePackIsGoneGoesAndItsTimeIsNamed) {
  const auto own = std::ranges::find_if(
      first_.packs, [&](const PackId& pack) { return !std::ranges::binary_search(second_.packs, pack); });
  ASSERT_NE(own, first_.packs.end());
  remove(name_of(*own));
  const auto report = repair();
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name_of(first_))));
  EXPECT_THAT(report.dropped[0].what, HasSubstr(name_of(*own)));
  ASSERT_THAT(report.lost_snapshots, SizeIs(1));
  EXPECT_EQ(report.lost_snapshots[0].id, first_.id);
  EXPECT_EQ(report.lost_snapshots[0].consistent_lsn, first_.consistent_lsn);
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].from_lsn, first_.consistent_lsn);
  EXPECT_EQ(report.lost[0].to_lsn, second_.consistent_lsn);
  ASSERT_THAT(report.coverage.ranges, SizeIs(1));
  EXPECT_EQ(report.coverage.ranges[0].from_lsn, second_.consistent_lsn);
}

TEST_F(RepairTest, APackStaysForASnapshotThatNeedsNoneOfItsDamagedChunks) {
  auto files = data_directory_files();
  files.erase("base/5/16384");
  const auto later = cluster_.snapshot(record_in(3, 0), record_in(3, 25), files, {}, TimelineId{1}, &first_);
  const auto chunk = chunk_of(first_, "base/5/16384");
  ASSERT_TRUE(std::ranges::binary_search(later.packs, chunk.pack));
  flip_at(name_of(chunk.pack), chunk.location.offset + chunk.location.stored_size / 2);
  const auto report = repair();
  EXPECT_THAT(ids_of(report.lost_snapshots), ElementsAre(first_.id));
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name_of(first_))));
  ASSERT_THAT(report.kept, ElementsAre(kept(name_of(chunk.pack))));
  EXPECT_THAT(report.kept[0].snapshots, ElementsAre(later.id));
  EXPECT_FALSE(report.sound());
  EXPECT_THAT(verify().damaged, ElementsAre(damaged(name_of(chunk.pack))));
  EXPECT_THAT(verify().damaged[0].snapshots, IsEmpty());

  // A new snapshot that finds its chunks by those that are there does not find this one.
  const auto next =
      cluster_.snapshot(record_in(3, 0), record_in(3, 28), data_directory_files(), {}, TimelineId{1}, &later);
  EXPECT_NE(chunk_of(next, "base/5/16384").pack, chunk.pack);

  // Once nobody needs it, it goes.
  remove(name_of(later));
  remove(name_of(next));
  const auto last = repair();
  EXPECT_THAT(last.dropped, ElementsAre(dropped(name_of(chunk.pack))));
  EXPECT_TRUE(last.sound());
}

TEST_F(RepairTest, APackWithoutItsDirectoryStaysForTheSnapshotsThatCanReadIt) {
  const auto pack = chunk_of(first_, "base/5/16384").pack;
  const auto size = must(cluster_.store.stat(name_of(pack))).size_bytes;
  flip_at(name_of(pack), size - 1);
  const auto report = repair();
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.kept, ElementsAre(kept(name_of(pack))));
  EXPECT_THAT(report.kept[0].snapshots, Contains(first_.id));
  EXPECT_THAT(report.lost, IsEmpty());
}

TEST_F(RepairTest, ADamagedPackThatNothingReachesGoes) {
  const PackId id = new_pack_id(system_clock());
  auto pack = must(PackWriter::create(*cluster_.space, PackKind::data, id, pack_name(id), 1));
  ASSERT_TRUE(pack.append(noise(50'000, 5), {}));
  ASSERT_TRUE(pack.commit());
  EXPECT_THAT(repair().dropped, IsEmpty());
  flip(name_of(id));
  EXPECT_THAT(repair().dropped, ElementsAre(dropped(name_of(id))));
  EXPECT_TRUE(verify(true).sound());
}

TEST_F(RepairTest, WhatTheDiskDoesNotGiveBackThisTimeStays) {
  add_one_of_each_kind();
  StoreWithBadSectors store(cluster_.store);
  const auto before = objects_of(cluster_.store);
  for (const auto& name : own_objects()) {
    if (name == "clusters/app/cluster") continue;
    SCOPED_TRACE(name);
    store.unreadable = {name};
    const auto report = must(repair_in(store));
    EXPECT_FALSE(report.found.sound());
    EXPECT_FALSE(report.sound());
    EXPECT_THAT(report.dropped, IsEmpty());
    EXPECT_THAT(report.kept, Contains(kept(name)));
    EXPECT_EQ(objects_of(cluster_.store), before);
    if (HasFailure()) return;
  }
}

TEST_F(RepairTest, NoPackGoesWhileARecordCannotBeReadForNow) {
  flip(name_of(first_.packs[0]));
  StoreWithBadSectors store(cluster_.store);
  store.unreadable = {name_of(first_), name_of(second_)};
  const auto report = must(repair_in(store));
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.kept, Contains(kept(name_of(first_.packs[0]))));
}

TEST_F(RepairTest, WhatANewerProgramWroteStays) {
  Bytes content = must(cluster_.store.get(name_of(first_)));
  content[4] = std::byte{99};
  ByteWriter crc;
  crc.u32(crc32c_finish(crc32c_extend(crc32c_begin, ByteView(content).first(24))));
  std::ranges::copy(crc.view(), content.begin() + 24);
  overwrite(cluster_.store, name_of(first_), content);
  ASSERT_EQ(code_of(get_snapshot(*cluster_.space, first_.id)), "newer_format");
  const auto report = repair();
  EXPECT_THAT(report.dropped, IsEmpty());
  ASSERT_THAT(report.kept, ElementsAre(kept(name_of(first_))));
  EXPECT_THAT(report.kept[0].why, HasSubstr("newer"));
  EXPECT_THAT(report.lost, IsEmpty());
}

TEST_F(RepairTest, WhatIsNotOursStays) {
  for (const auto* name : {"packs/README", "wal/00000001/notes.txt", "snapshots/README", "leases/a.b"}) {
    ASSERT_TRUE(cluster_.store.put(cluster_.space->object_name(name), as_byte_view("hello")));
  }
  const auto before = names_of(cluster_.store);
  const auto report = repair();
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.kept, UnorderedElementsAre(kept(cluster_.space->object_name("snapshots/README")),
                                                kept(cluster_.space->object_name("leases/a.b"))));
  EXPECT_EQ(names_of(cluster_.store), before);
}

TEST_F(RepairTest, WalInTheMiddleGoesAndTheGapIsHealedByTheSnapshotBehindIt) {
  flip(wal_name(1));
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(wal_name(1))));
  EXPECT_THAT(report.lost_snapshots, IsEmpty());
  ASSERT_THAT(report.lost, SizeIs(1));
  ASSERT_THAT(report.missing_wal, SizeIs(1));
  EXPECT_EQ(report.missing_wal[0].healed_by, second_.id);
  EXPECT_TRUE(report.sound());
}

TEST_F(RepairTest, WalThatNoSnapshotLiesBehindIsStillMissingAfterwards) {
  remove(name_of(second_));
  flip(wal_name(1));
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(wal_name(1))));
  ASSERT_THAT(report.missing_wal, SizeIs(1));
  EXPECT_TRUE(report.missing_wal[0].healed_by.empty());
  EXPECT_FALSE(report.sound());
}

TEST_F(RepairTest, WalThatAStreamMayBeAtWorkOnStays) {
  flip(wal_name(3));
  const auto report = repair({.stream_at_work = true});
  EXPECT_THAT(report.dropped, IsEmpty());
  EXPECT_THAT(report.lost_snapshots, IsEmpty()) << "the stream may receive it again";
  EXPECT_THAT(report.kept, ElementsAre(kept(wal_name(3))));
  EXPECT_TRUE(there(name_of(second_)));
  const auto alone = repair();
  EXPECT_THAT(alone.dropped, ElementsAre(dropped(name_of(second_)), dropped(wal_name(3))));
  EXPECT_TRUE(alone.sound());
}

TEST_F(RepairTest, ASnapshotStaysThatNeedsOnlyTheBeginningOfADamagedTail) {
  remove(wal_name(3));
  write_tail_in_frames({});
  const auto name = tail_name();
  const auto sound = objects_of(cluster_.store);
  const std::size_t needed = second_.consistent_lsn - segment_at(3);
  flip_at(name, needed + 2 * frame);
  EXPECT_THAT(verify().damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(verify().damaged[0].snapshots, IsEmpty());
  const auto kept_whole = repair();
  EXPECT_THAT(kept_whole.lost_snapshots, IsEmpty());
  EXPECT_THAT(kept_whole.dropped, ElementsAre(dropped(name)));
  EXPECT_TRUE(kept_whole.sound());

  put_back(cluster_.store, sound);
  flip_at(name, needed / 2);
  EXPECT_THAT(verify().damaged[0].snapshots, ElementsAre(second_.id));
  EXPECT_THAT(ids_of(repair({.stream_at_work = true}).lost_snapshots), IsEmpty());
  const auto report = repair();
  EXPECT_THAT(ids_of(report.lost_snapshots), ElementsAre(second_.id));
  EXPECT_TRUE(report.sound());
  EXPECT_TRUE(verify().sound());
}

// Damaged amid its records.
TEST_F(RepairTest, WhatCanBeReadOfADamagedTailIsWrittenAnew) {
  remove(name_of(second_));
  remove(wal_name(3));
  const Timestamp marked = first_.consistent_time + std::chrono::hours(1);
  write_tail_in_frames(marked);
  const auto name = tail_name();
  const Lsn last_record = sample_records().all.back().start;
  ASSERT_GT(last_record, segment_at(3) + 4 * frame);
  flip_at(name, (last_record - segment_at(3)) / 2);
  const auto damaged = objects_of(cluster_.store);
  EXPECT_FALSE(verify().sound());
  EXPECT_THAT(repair({.stream_at_work = true}).kept, ElementsAre(kept(name)));
  EXPECT_EQ(objects_of(cluster_.store), damaged);
  const auto whole_to = repair({.dry_run = true}).rewritten_wal.at(0).to_lsn;
  EXPECT_GT(whole_to, segment_at(3) + frame);
  EXPECT_LT(whole_to, last_record);

  const auto expect_good = [&] {
    EXPECT_FALSE(there(name));
    EXPECT_TRUE(verify().sound());
    const auto inventory = must(WalInventory::load(*cluster_.space, segment_bytes));
    const auto content = must(read_wal_segment(*cluster_.space, inventory, TimelineId{1}, segment_at(3)));
    EXPECT_EQ(content.start + content.bytes.size(), whole_to);
    EXPECT_TRUE(std::ranges::equal(content.bytes, SampleCluster::segment(3).first(content.bytes.size())));
    EXPECT_EQ(content.mark.time, marked);
    EXPECT_EQ(content.durable_to, whole_to);
    // Beside it at most one that a crash left empty.
    EXPECT_LE(inventory.find(TimelineId{1}, segment_at(3))->tails.size(), 2U);
  };
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name)));
  EXPECT_THAT(report.kept, IsEmpty());
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_GT(report.lost[0].from_lsn, segment_at(3));
  EXPECT_LE(report.lost[0].from_lsn, whole_to);
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(4));
  expect_good();

  for (std::uint64_t step = 1;; ++step) {
    put_back(cluster_.store, damaged);
    FaultStore faulty(cluster_.store, step);
    faulty.set_fault({.kind = Fault::Kind::crash, .at_step = step});
    (void)repair_in(faulty);
    SCOPED_TRACE(faulty.last_fault());
    if (names_of(cluster_.store) != names_in(damaged)) {
      repair();
      expect_good();
    }
    if (faulty.last_fault().empty() || HasFailure()) break;
  }
}

TEST_F(RepairTest, ATailOfWhichNothingCanBeReadGoesUnlessAStreamIsAtWork) {
  remove(name_of(second_));
  remove(wal_name(3));
  cluster_.tail(3, segment_bytes / 2);
  const auto name = tail_name();
  flip_at(name, 0);
  EXPECT_THAT(repair({.stream_at_work = true}).dropped, IsEmpty());
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name)));
  EXPECT_THAT(report.rewritten_wal, IsEmpty());
  EXPECT_TRUE(verify().sound());
}

TEST_F(RepairTest, ADamagedMarkAndLeaseGoAndAHistoryStays) {
  add_one_of_each_kind();
  const auto mark = cluster_.space->object_name("timelines/00000002.aside");
  const auto history = cluster_.space->object_name("timelines/00000002");
  const auto lease = cluster_.space->object_name("leases/stream");
  for (const auto& name : {mark, history, lease}) flip(name);
  const auto report = repair();
  EXPECT_THAT(report.dropped, ElementsAre(dropped(mark), dropped(lease)));
  EXPECT_THAT(report.dropped[0].what, HasSubstr("timeline 2 counts as the cluster's"));
  EXPECT_THAT(report.kept, ElementsAre(kept(history)));
  EXPECT_TRUE(there(history));
}

TEST_F(RepairTest, ADamagedLeaseCanBeTakenOnceItIsDropped) {
  { const auto lease = must(Lease::acquire(*cluster_.space, "backup", "backup", system_clock())); }
  EXPECT_FALSE(must(drop_damaged_lease(*cluster_.space, "backup")));
  EXPECT_FALSE(must(drop_damaged_lease(*cluster_.space, "prune")));
  flip(cluster_.space->object_name("leases/backup"));
  EXPECT_FALSE(Lease::acquire(*cluster_.space, "backup", "repair", system_clock()));
  EXPECT_TRUE(must(drop_damaged_lease(*cluster_.space, "backup")));
  EXPECT_TRUE(Lease::acquire(*cluster_.space, "backup", "repair", system_clock()));
}

TEST_F(RepairTest, NothingIsRemovedOnceTheLeaseIsLost) {
  flip(name_of(first_));
  flip(wal_name(1));
  int asked = 0;
  const auto lost = [&]() -> Result<void> {
    if (++asked == 1) return {};
    return fail(ErrorCode::busy, "taken over");
  };
  const auto report = repair_in(cluster_.store, {}, lost);
  EXPECT_EQ(code_of(report), "busy");
  EXPECT_FALSE(there(name_of(first_)));
  EXPECT_TRUE(there(wal_name(1)));
}

TEST_F(RepairTest, WhatIsReadWrongOnceIsNoReasonToRemoveAnything) {
  StoreThatMisreads store(cluster_.store);
  store.name = name_of(chunk_of(first_, "base/5/16384").pack);
  store.times = 1;
  const auto before = names_of(cluster_.store);
  const auto report = repair_in(store);
  EXPECT_EQ(code_of(report), "unavailable") << message_of(report);
  EXPECT_EQ(names_of(cluster_.store), before);
}

// Damage of several kinds; a fault at each step; then one more repair.
TEST_F(RepairTest, WhateverStepFailsASecondOneFinishes) {
  add_one_of_each_kind();
  flip(name_of(first_.packs[0]));
  flip(wal_name(1));
  flip(name_of(second_));
  flip(cluster_.space->object_name("leases/stream"));
  const auto damaged = objects_of(cluster_.store);
  const auto before = coverage();
  const auto lost = verify(true).lost;
  ASSERT_GE(repair().dropped.size(), 4U);
  const auto wanted = objects_of(cluster_.store);
  expect_still_covered(before, lost);
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::lost_answer, Fault::Kind::error}) {
    const auto stride = kind == Fault::Kind::crash ? fault_step_stride : 3 * fault_step_stride;
    for (std::uint64_t step = 1;; step += stride) {
      put_back(cluster_.store, damaged);
      FaultStore faulty(cluster_.store, step);
      faulty.set_fault({.kind = kind, .at_step = step});
      (void)repair_in(faulty);
      SCOPED_TRACE(faulty.last_fault());
      const bool unchanged = names_of(cluster_.store) == names_in(damaged);  // the second does what one did
      if (!unchanged) {
        repair();
        EXPECT_EQ(objects_of(cluster_.store), wanted);
      }
      if (faulty.last_fault().empty() || HasFailure()) break;
    }
  }
}

}  // namespace
}  // namespace pgstrata::testing
