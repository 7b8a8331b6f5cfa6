// Who else may be at work on a cluster while it is repaired.
#include "app/repair_cluster.h"

#include <gmock/gmock.h>

#include "restore/restore_test_support.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

class RepairRegisteredClusterTest : public ::testing::Test {
 protected:
  RepairRegisteredClusterTest() : registered_{*cluster_.space, {}} {
    registered_.record.wal_segment_bytes = segment_bytes;
    cluster_.seal(0, 4);
    const auto& records = sample_records().all;
    snapshot_ = cluster_.snapshot(records[5], records[8], data_directory_files());
    broken_ = cluster_.snapshot(records[5], records[9], data_directory_files());
  }

  Result<RepairReport> repair(bool dry_run = false) {
    return repair_registered_cluster(registered_, {.dry_run = dry_run, .on_progress = {}}, system_clock(),
                                     cluster_.cancellation);
  }
  Lease take(const char* name) { return must(Lease::acquire(*cluster_.space, name, name, system_clock())); }
  [[nodiscard]] std::string name_of(const std::string& name) const {
    return cluster_.space->object_name(name);
  }
  void flip(const std::string& name) {
    Bytes content = must(cluster_.store.get(name));
    content[content.size() / 2] ^= std::byte{0x40};
    overwrite(cluster_.store, name, content);
  }
  static auto dropped(const std::string& name) { return Field(&DroppedObject::name, name); }

  SampleCluster cluster_;
  RegisteredCluster registered_;
  SnapshotRecord snapshot_;
  SnapshotRecord broken_;
};

TEST_F(RepairRegisteredClusterTest, NobodyPublishesOrPrunesMeanwhile) {
  flip(name_of("snapshots/" + broken_.id));
  for (const auto* name : {backup_lease_name, prune_lease_name}) {
    const auto lease = take(name);
    EXPECT_EQ(code_of(repair()), "busy");
    EXPECT_TRUE(cluster_.store.stat(name_of("snapshots/" + broken_.id)));
  }
  EXPECT_TRUE(must(repair()).sound());
  for (const auto* name : {backup_lease_name, prune_lease_name, stream_lease_name})
    EXPECT_FALSE(must(lease_holder(*cluster_.space, name))) << name;
}

TEST_F(RepairRegisteredClusterTest, ARehearsalTakesNoLease) {
  flip(name_of("snapshots/" + broken_.id));
  const auto lease = take(backup_lease_name);
  EXPECT_THAT(must(repair(true)).dropped, ElementsAre(dropped(name_of("snapshots/" + broken_.id))));
  EXPECT_FALSE(cluster_.store.stat(name_of("leases/prune")));
}

TEST_F(RepairRegisteredClusterTest, AStreamGoesOnAndWhatItWritesToIsLeftToIt) {
  const Lsn last = wal_sample().start + 3 * segment_bytes;
  const auto newest = wal_object_name(TimelineId{1}, last, segment_bytes);
  flip(name_of("snapshots/" + broken_.id));
  flip(name_of(newest));
  const auto lease = take(stream_lease_name);
  for (const bool dry_run : {true, false}) {
    const auto report = must(repair(dry_run));
    EXPECT_THAT(report.dropped, ElementsAre(dropped(name_of("snapshots/" + broken_.id))));
    EXPECT_THAT(report.kept, ElementsAre(Field(&KeptObject::name, name_of(newest))));
  }
  EXPECT_TRUE(lease.check());
}

TEST_F(RepairRegisteredClusterTest, ADamagedLeaseOfItsOwnGoesFirst) {
  { const auto lease = take(backup_lease_name); }
  flip(name_of("leases/backup"));
  const auto report = must(repair());
  EXPECT_THAT(report.dropped, ElementsAre(dropped(name_of("leases/backup"))));
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(must(repair()).dropped, IsEmpty());
}

}  // namespace
}  // namespace pgstrata::testing
