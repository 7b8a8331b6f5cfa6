// What verify says of each kind of damage, and what it finds that this costs.
#include "check/verify_test.h"

#include "repo/lease.h"
#include "repo/record.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST_F(VerifyTest, ASoundClusterIsReadWhole) {
  const auto report = verify();
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.snapshots, 2U);
  EXPECT_EQ(report.wal_segments, 4U);
  EXPECT_EQ(report.unreferenced_packs, 0U);
  EXPECT_THAT(report.unknown_objects, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_GT(report.bytes_read, 0U);
}

TEST_F(VerifyTest, ADamagedPackCostsTheSnapshotsThatReachItAndNamesTheirFiles) {
  for (const PackId& pack : second_.packs) {
    const bool shared = std::ranges::binary_search(first_.packs, pack);
    for_each_damage_of(name_of(pack), [&](const VerifyReport& report) {
      ASSERT_THAT(report.damaged, SizeIs(1));
      EXPECT_EQ(report.damaged[0].name, name_of(pack));
      EXPECT_FALSE(report.damaged[0].what.empty());
      EXPECT_THAT(report.damaged[0].cure, HasSubstr("pgstrata backup app"));
      if (shared) {
        EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(first_.id, second_.id));
        ASSERT_THAT(report.lost, SizeIs(1));
        EXPECT_EQ(report.lost[0].from_lsn, first_.consistent_lsn);
      } else {
        EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(second_.id));
        EXPECT_THAT(report.lost, IsEmpty()) << "the first snapshot leads to the same moments";
      }
    });
  }
}

TEST_F(VerifyTest, AReferenceToWhatWasNotReadIsDamage) {
  // Only the second snapshot has this pack, which its record names no more.
  const auto own = std::ranges::find_if(second_.packs, [&](const PackId& pack) {
    return !std::ranges::binary_search(first_.packs, pack) &&
           PackReader::open(*cluster_.space, pack_name(pack), PackKind::data);
  });
  ASSERT_NE(own, second_.packs.end());
  const PackId id = *own;
  const Bytes sound = must(cluster_.store.get(name_of(id)));
  auto record = second_;
  std::erase(record.packs, id);
  remove(name_of(second_));
  ASSERT_TRUE(put_snapshot(*cluster_.space, record));
  const auto unnamed = verify();
  ASSERT_THAT(unnamed.damaged, ElementsAre(damaged(name_of(id))));
  EXPECT_THAT(unnamed.damaged[0].snapshots, ElementsAre(second_.id));
  EXPECT_THAT(unnamed.damaged[0].files, ::testing::Contains("base/5/1259"));

  // A pack of that name with other chunks.
  remove(name_of(second_));
  ASSERT_TRUE(put_snapshot(*cluster_.space, second_));
  ASSERT_TRUE(verify().sound());
  remove(name_of(id));
  auto pack = must(PackWriter::create(*cluster_.space, PackKind::data, id, pack_name(id), 1));
  ASSERT_TRUE(pack.append(noise(100, 5), {}));
  ASSERT_TRUE(pack.commit());
  const auto other = verify();
  ASSERT_THAT(other.damaged, ElementsAre(damaged(name_of(id))));
  EXPECT_THAT(other.damaged[0].what, HasSubstr("it has no chunk"));
  EXPECT_THAT(other.damaged[0].snapshots, ElementsAre(second_.id));
  overwrite(cluster_.store, name_of(id), sound);
  EXPECT_TRUE(verify().sound());
}

TEST_F(VerifyTest, ADifferenceNeedsItsOwnPackAndThatOfTheWhole) {
  const auto later = cluster_.snapshot(record_in(3, 0), record_in(3, 25), changed_data_directory_files(), {},
                                       TimelineId{1}, &first_);
  ASSERT_TRUE(verify().sound());
  const auto packs = packs_of_differences(*cluster_.space, later);
  ASSERT_THAT(packs, SizeIs(1));
  const auto& [pack, files] = *packs.begin();
  for_each_damage_of(name_of(pack), [&](const VerifyReport& report) {
    ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(pack))));
    EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(later.id));
    EXPECT_THAT(report.damaged[0].files, ::testing::IsSubsetOf(files));
    EXPECT_FALSE(report.damaged[0].files.empty());
    EXPECT_THAT(report.lost, IsEmpty()) << "the others lead to the same moments";
  });
  for (const PackId& whole : first_.packs) {
    if (!std::ranges::binary_search(later.packs, whole)) continue;
    for_each_damage_of(name_of(whole), [&](const VerifyReport& report) {
      ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(whole))));
      EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(first_.id, later.id));
    });
  }

  auto unnamed = later;
  std::erase(unnamed.packs, pack);
  remove(name_of(later));
  ASSERT_TRUE(put_snapshot(*cluster_.space, unnamed));
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(pack))));
  EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(later.id));
}

TEST_F(VerifyTest, MissingWalNamesEverySnapshotThatNeedsIt) {
  const auto third = cluster_.snapshot(record_in(0, 5), record_in(0, 25), data_directory_files());
  ASSERT_TRUE(verify().sound());
  remove(wal_name(0));
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(wal_name(0))));
  EXPECT_THAT(report.damaged[0].snapshots, ::testing::UnorderedElementsAre(first_.id, third.id));
}

TEST_F(VerifyTest, WithoutTheOlderSnapshotItsTimeIsLostUpToTheNext) {
  for (const PackId& pack : first_.packs) {
    if (std::ranges::binary_search(second_.packs, pack)) continue;
    for_each_damage_of(name_of(pack), [&](const VerifyReport& report) {
      ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(pack))));
      EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(first_.id));
      ASSERT_THAT(report.lost, SizeIs(1));
      EXPECT_EQ(report.lost[0].from_lsn, first_.consistent_lsn);
      EXPECT_EQ(report.lost[0].to_lsn, second_.consistent_lsn);
      EXPECT_EQ(report.lost[0].from_time, first_.consistent_time);
      EXPECT_EQ(report.lost[0].to_time, second_.consistent_time);
    });
  }
}

TEST_F(VerifyTest, ADamagedWalSegmentCostsTheTimeFromItToTheNextSnapshot) {
  const std::string name = wal_name(1);
  flip(name);
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(report.damaged[0].snapshots, IsEmpty()) << "neither needs it";
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_LE(report.lost[0].from_lsn, segment_at(1));
  EXPECT_GT(report.lost[0].from_lsn, first_.consistent_lsn);
  EXPECT_EQ(report.lost[0].to_lsn, second_.consistent_lsn);
}

TEST_F(VerifyTest, WalThatASnapshotNeedsIsPartOfIt) {
  for_each_damage_of(wal_name(0), [&](const VerifyReport& report) {
    ASSERT_THAT(report.damaged, ElementsAre(damaged(wal_name(0))));
    EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(first_.id));
  });
  for_each_damage_of(wal_name(3), [&](const VerifyReport& report) {
    ASSERT_THAT(report.damaged, ElementsAre(damaged(wal_name(3))));
    EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(second_.id));
  });
}

TEST_F(VerifyTest, DamageAtTheEndCostsTheEnd) {
  const auto expect_end_lost = [&](const VerifyReport& report, const std::string& name) {
    ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
    ASSERT_THAT(report.lost, SizeIs(1));
    EXPECT_GT(report.lost[0].from_lsn, first_.consistent_lsn);
    EXPECT_LE(report.lost[0].from_lsn, segment_at(3));
    EXPECT_EQ(report.lost[0].to_lsn, segment_at(4));
  };
  truncate(wal_name(3));
  expect_end_lost(verify(), wal_name(3));
  remove(wal_name(3));
  {
    auto tail = must(WalTailWriter::create(*cluster_.space, TimelineId{1}, segment_at(3), segment_bytes));
    constexpr std::size_t synced_bytes = 64U << 10;
    for (std::size_t from = 0; from < segment_bytes; from += synced_bytes) {
      ASSERT_TRUE(tail.append(SampleCluster::segment(3).subspan(from, synced_bytes)));
      ASSERT_TRUE(tail.sync());
    }
  }
  ASSERT_TRUE(verify().sound());
  flip(tail_name());
  expect_end_lost(verify(), tail_name());
}

TEST_F(VerifyTest, TheDamagedEndOfATimelineCostsTheEnd) {
  remove(name_of(second_));
  remove(wal_name(3));
  cluster_.end_timeline(3, segment_bytes / 2);
  const std::string name = wal_name(3) + ".partial";
  ASSERT_TRUE(verify().sound());
  for_each_damage_of(name, [&](const VerifyReport& report) {
    if (!cluster_.store.stat(name)) {  // as if the source had ended before it: nothing tells of it
      EXPECT_TRUE(report.sound());
      return;
    }
    ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
    EXPECT_THAT(report.damaged[0].snapshots, IsEmpty());
    ASSERT_THAT(report.lost, SizeIs(1));
    EXPECT_GT(report.lost[0].from_lsn, first_.consistent_lsn);
    EXPECT_LE(report.lost[0].from_lsn, segment_at(3));
    EXPECT_GE(report.lost[0].to_lsn, segment_at(3) + segment_bytes / 2);
  });
}

TEST_F(VerifyTest, TheEndOfATimelineThatASnapshotNeedsIsPartOfIt) {
  remove(wal_name(3));
  cluster_.end_timeline(3, second_.consistent_lsn - segment_at(3) + 8192);
  const std::string name = wal_name(3) + ".partial";
  ASSERT_TRUE(verify().sound());
  for_each_damage_of(name, [&](const VerifyReport& report) {
    const bool there = cluster_.store.stat(name).has_value();
    ASSERT_THAT(report.damaged, ElementsAre(damaged(there ? name : wal_name(3))));
    EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(second_.id));
    EXPECT_THAT(report.lost, SizeIs(1));
  });
}

TEST_F(VerifyTest, WithoutAnyWalThatCanBeReadASnapshotIsLostWhole) {
  remove(name_of(second_));
  for (const std::size_t index : {1U, 2U, 3U}) remove(wal_name(index));
  flip(wal_name(0));
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(wal_name(0))));
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].from_lsn, first_.consistent_lsn);
  EXPECT_EQ(report.lost[0].from_time, first_.consistent_time);
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(1));
}

TEST_F(VerifyTest, ATailCutShortIsWhatACrashLeavesAndNoDamage) {
  remove(name_of(second_));
  remove(wal_name(3));
  cluster_.tail(3, segment_bytes / 2);
  truncate(tail_name());
  EXPECT_TRUE(verify().sound());
}

TEST_F(VerifyTest, ADamagedSnapshotRecordIsNamedAndItsPacksAreReadOnDemandOnly) {
  flip(name_of(first_));
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(first_))));
  EXPECT_THAT(report.damaged[0].snapshots, ElementsAre(first_.id));
  EXPECT_GT(report.unreferenced_packs, 0U);
  EXPECT_EQ(report.snapshots, 1U);
  EXPECT_THAT(report.lost, SizeIs(1)) << "from when it was begun to the next snapshot";
}

TEST_F(VerifyTest, PacksThatNothingReachesAreCountedAndReadOnDemand) {
  const PackId id = new_pack_id(system_clock());
  auto pack = must(PackWriter::create(*cluster_.space, PackKind::data, id, pack_name(id), 1));
  ASSERT_TRUE(pack.append(noise(50'000, 5), {}));
  ASSERT_TRUE(pack.commit());
  EXPECT_EQ(verify().unreferenced_packs, 1U);
  EXPECT_TRUE(verify(true).sound());
  flip(name_of(id));
  EXPECT_TRUE(verify().sound());
  const auto report = verify(true);
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name_of(id))));
  EXPECT_THAT(report.damaged[0].snapshots, IsEmpty());
}

TEST_F(VerifyTest, WhatIsNotOursIsNamedAndLeftAlone) {
  for (const auto* name : {"packs/README", "wal/00000001/notes.txt"}) {
    ASSERT_TRUE(cluster_.store.put(cluster_.space->object_name(name), as_byte_view("hello")));
  }
  const auto report = verify(true);
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.unknown_objects,
              ::testing::UnorderedElementsAre("packs/README", "wal/00000001/notes.txt"));
}

TEST_F(VerifyTest, ATimelinesHistoryIsMissedOnlyWhereAnotherTimelineIsThere) {
  const TimelineId two{2};
  cluster_.seal(3, 4, two);
  const std::string name = cluster_.space->object_name("timelines/00000002");
  ASSERT_TRUE(put_timeline_history(
      *cluster_.space, two,
      as_byte_view(fmt::format("1\t{}\tno recovery target specified\n", segment_at(3) + segment_bytes / 4))));
  ASSERT_TRUE(verify().sound());
  for_each_damage_of(name, [&](const VerifyReport& report) {
    ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
    ASSERT_THAT(report.lost, SizeIs(1));
    EXPECT_EQ(report.lost[0].timeline, two);
    EXPECT_EQ(report.lost[0].to_lsn, segment_at(4));
  });
}

TEST_F(VerifyTest, AClusterThatCameOnALaterTimelineNeedsItsHistory) {
  SampleCluster later;
  later.seal(0, 4, TimelineId{3});
  const Cancellation cancellation;
  const auto sound = [&] {
    return must(verify_cluster(*later.space, segment_bytes, {}, cancellation)).sound();
  };
  EXPECT_FALSE(sound());
  ASSERT_TRUE(
      put_timeline_history(*later.space, TimelineId{3}, as_byte_view("2\t0/100\tno recovery target\n")));
  EXPECT_TRUE(sound());
}

TEST_F(VerifyTest, ADamagedMarkOfATimelineSetAsideIsNamedAndLosesNothing) {
  cluster_.seal(3, 4, TimelineId{2});
  ASSERT_TRUE(put_timeline_history(*cluster_.space, TimelineId{2},
                                   as_byte_view(fmt::format("1\t{}\tx\n", segment_at(3)))));
  ASSERT_TRUE(make_timeline_current(*cluster_.space, TimelineId{1}, {TimelineId{2}}));
  ASSERT_TRUE(verify().sound());
  const std::string name = cluster_.space->object_name("timelines/00000002.aside");
  flip(name);
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(report.damaged[0].what, ::testing::HasSubstr("timeline 2 counts as the cluster's"));
  EXPECT_THAT(report.lost, IsEmpty());
}

TEST_F(VerifyTest, ADamagedLeaseIsNamed) {
  {
    const auto lease = must(Lease::acquire(*cluster_.space, "stream", "stream", system_clock()));
    EXPECT_TRUE(verify().sound());
  }
  const std::string name = cluster_.space->object_name("leases/stream");
  flip(name);
  const auto report = verify();
  ASSERT_THAT(report.damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(report.lost, IsEmpty());
}

// A store in which something happens between the listing of a tail and its reading.
class StoreWhereTailsMove : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  std::function<void()> before_a_tail_is_read;

  Result<ObjectInfo> stat(std::string_view name) override {
    if (name.ends_with(".tail") && before_a_tail_is_read) std::exchange(before_a_tail_is_read, {})();
    return BorrowedStore::stat(name);
  }
};

// As a stream does that begins in the middle of a segment.
TEST_F(VerifyTest, ATailThatAStreamHasReplacedMeanwhileIsNoDamage) {
  remove(wal_name(3));
  constexpr std::size_t tail_bytes = 900'000;
  cluster_.tail(3, tail_bytes);
  const auto old = tail_name();
  StoreWhereTailsMove moving(cluster_.store);
  moving.before_a_tail_is_read = [&] {
    cluster_.tail(3, tail_bytes + 1000);
    remove(old);
  };
  const auto repository = must(Repository::open(borrow(moving), NoEncryption{}));
  const auto report =
      must(verify_cluster(must(repository.open_cluster("app")), segment_bytes, {}, Cancellation()));
  EXPECT_FALSE(moving.before_a_tail_is_read) << "it happened";
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.damaged, IsEmpty());
}

class VerifyLevelTest : public VerifyTest {
 protected:
  static VerifyOptions structure() {
    VerifyOptions options;
    options.level = VerifyLevel::structure;
    return options;
  }
  static VerifyOptions sample(double percent, std::uint64_t seed) {
    VerifyOptions options;
    options.level = VerifyLevel::sample;
    options.sample_percent = percent;
    options.seed = seed;
    return options;
  }
  // Of a file's first extent.
  ChunkRef chunk_of(const SnapshotRecord& snapshot, const std::string& path) {
    FileTreeReader tree(*cluster_.space, snapshot.tree);
    const auto file = must(tree.find(path));
    return *must(tree.extents(*file, 0, 1)).front().chunk;
  }
};

TEST_F(VerifyLevelTest, StructureReadsNoContentAndLittleElse) {
  const auto all = verify();
  const auto report = verify(structure());
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.snapshots, all.snapshots);
  EXPECT_EQ(report.wal_segments, all.wal_segments);
  EXPECT_EQ(report.chunks, all.chunks);
  EXPECT_EQ(report.chunks_read, 0U);
  EXPECT_EQ(report.wal_segments_read, 0U);
  EXPECT_EQ(report.bytes_read, 0U);
  EXPECT_EQ(all.chunks_read, all.chunks);
  EXPECT_EQ(all.wal_segments_read, all.wal_segments);
}

TEST_F(VerifyLevelTest, StructureFindsWhatIsMissingCutOrNotAMap) {
  const auto pack = chunk_of(first_, "base/5/16384").pack;
  for (const auto& name : {name_of(pack), name_of(first_), wal_name(0)}) {
    const Bytes sound = must(cluster_.store.get(name));
    truncate(name);
    EXPECT_THAT(verify(structure()).damaged, ElementsAre(damaged(name)));
    remove(name);
    EXPECT_EQ(verify(structure()).sound(), name == name_of(first_)) << "a snapshot that nobody knows of";
    ASSERT_TRUE(cluster_.store.put(name, sound));
  }
  Bytes content = must(cluster_.store.get(name_of(first_.tree.pack)));
  content[first_.tree.location.offset] ^= std::byte{1};
  overwrite(cluster_.store, name_of(first_.tree.pack), content);
  const auto report = verify(structure());
  EXPECT_FALSE(report.sound());
  EXPECT_THAT(report.damaged[0].snapshots, ::testing::Contains(first_.id));
}

TEST_F(VerifyLevelTest, StructureDoesNotSeeWhatChunksAndWalHold) {
  const auto chunk = chunk_of(first_, "base/5/16384");
  Bytes content = must(cluster_.store.get(name_of(chunk.pack)));
  content[chunk.location.offset + 100] ^= std::byte{1};
  overwrite(cluster_.store, name_of(chunk.pack), content);
  Bytes wal = must(cluster_.store.get(wal_name(1)));
  wal[1000] ^= std::byte{1};
  overwrite(cluster_.store, wal_name(1), wal);
  EXPECT_TRUE(verify(structure()).sound());
  EXPECT_THAT(verify(sample(100, 1)).damaged, SizeIs(2));
}

TEST_F(VerifyLevelTest, ASampleIsOfItsSizeAndTheSameForTheSameSeed) {
  for (int i = 0; i < 40; ++i) {  // packs of one run of chunks each
    const PackId id = new_pack_id(system_clock());
    auto pack = must(PackWriter::create(*cluster_.space, PackKind::data, id, pack_name(id), 1));
    for (std::uint64_t chunk = 0; chunk < 16; ++chunk) ASSERT_TRUE(pack.append(noise(100, chunk), {}));
    ASSERT_TRUE(pack.commit());
  }
  auto options = sample(25, 7);
  options.unreferenced = true;
  const auto report = verify(options);
  EXPECT_TRUE(report.sound());
  EXPECT_GT(report.chunks_read, 40U);
  EXPECT_LT(report.chunks_read, 400U);
  EXPECT_EQ(verify(options).chunks_read, report.chunks_read);
  EXPECT_EQ(verify(options).bytes_read, report.bytes_read);
  std::set<std::uint64_t> sizes;
  for (options.seed = 0; options.seed < 10; ++options.seed) sizes.insert(verify(options).chunks_read);
  EXPECT_GT(sizes.size(), 1U);
  const auto all = verify(sample(100, 7));
  EXPECT_EQ(all.chunks_read, all.chunks);
  EXPECT_EQ(all.wal_segments_read, all.wal_segments);
}

TEST_F(VerifyTest, ItStopsWhenAsked) {
  Cancellation cancellation;
  cancellation.request();
  const auto stopped = verify_cluster(*cluster_.space, segment_bytes, {}, cancellation);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), ErrorCode::cancelled);
}

TEST(VerifyKeySlots, ADamagedSlotIsNamed) {
  MemoryStore store;
  auto repository = must(Repository::create(borrow(store), NoEncryption{}, system_clock()));
  EXPECT_THAT(must(verify_key_slots(repository)), IsEmpty());
  {  // what an init that was cut short leaves
    MemoryStore other;
    const auto foreign = must(Repository::create(borrow(other), NoEncryption{}, system_clock()));
    const auto name = must(other.list_all("keys/"))[0].name;
    ASSERT_TRUE(store.put(name, must(other.get(name))));
    EXPECT_THAT(must(verify_key_slots(repository)), IsEmpty());
    ASSERT_TRUE(store.remove(name));
  }
  const auto slots = must(store.list_all("keys/"));
  ASSERT_THAT(slots, SizeIs(1));
  Bytes content = must(store.get(slots[0].name));
  content[content.size() / 2] ^= std::byte{1};
  overwrite(store, slots[0].name, content);
  EXPECT_THAT(must(verify_key_slots(repository)), ElementsAre(Field(&DamagedObject::name, slots[0].name)));
}

}  // namespace
}  // namespace pgstrata::testing
