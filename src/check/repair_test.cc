// What repair drops of each kind of damage, what it never touches, and that a second one finishes the first.
#include "check/repair_test.h"

#include "base/sanitized.h"
#include "codec/digest.h"
#include "codec/endian.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

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
