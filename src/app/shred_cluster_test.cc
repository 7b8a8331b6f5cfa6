#include "app/shred_cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/repository_keys.h"
#include "catalog/hold.h"
#include "catalog/retention_floor.h"
#include "repo/lease.h"
#include "repo/test_store.h"
#include "storage/memory/memory_store.h"
#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

class ShredClusterTest : public ::testing::Test {
 protected:
  ShredClusterTest() {
    const auto space = repository_.create_cluster("app");
    EXPECT_TRUE(put_cluster_record(*space, {.connection = "postgresql://db/app",
                                            .system_identifier = {7},
                                            .server_version = 150018,
                                            .wal_segment_bytes = 16U << 20,
                                            .slot = "pgstrata_app",
                                            .data_checksums = true,
                                            .added = clock_.now()})
                    .has_value());
    EXPECT_TRUE(store().put(space->object_name("packs/x"), Bytes(1000)).has_value());
  }
  ObjectStore& store() { return repository_.store(); }
  Result<ShredPreview> preview() {
    return preview_shredding(repository_, "app", directory_.path(), cancellation_);
  }
  Result<ShredOutcome> shred() { return shred_cluster(repository_, "app", clock_, cancellation_); }
  void expect_gone() {
    EXPECT_TRUE(store().list_all("clusters/")->empty());
    EXPECT_TRUE(repository_.clusters()->empty());
    EXPECT_EQ(preview().error().code(), ErrorCode::not_found);
    EXPECT_TRUE(repository_.create_cluster("app").has_value());
  }

  const Clock& clock_ = system_clock();
  Cancellation cancellation_;
  TemporaryDirectory directory_ = TemporaryDirectory::create("shred").value();
  Repository repository_ =
      *Repository::create(std::make_unique<MemoryStore>(), KeyFile{.secret = Bytes(32)}, clock_);
};

TEST_F(ShredClusterTest, AHoldAndAFloorForbidIt) {
  const auto space = repository_.open_cluster("app").value();
  const Hold hold{.snapshot = "x", .timeline = {1}, .from_lsn = {1}, .to_lsn = {2}, .reason = "case 4711"};
  const auto id = put_hold(space, hold, clock_).value();
  const auto held = shred();
  ASSERT_FALSE(held);
  EXPECT_THAT(held.error().describe(), HasSubstr("case 4711"));
  EXPECT_THAT(held.error().hint(), HasSubstr("pgstrata hold remove app " + id));
  ASSERT_TRUE(remove_hold(space, id));
  ASSERT_TRUE(raise_retention_floor(space, std::chrono::hours(1)));
  ASSERT_TRUE(store().put(space.object_name("snapshots/x"), Bytes(10)));
  const auto too_young = shred();
  ASSERT_FALSE(too_young);
  EXPECT_THAT(too_young.error().describe(), HasSubstr("retention floor"));
  HeldClock ahead;
  ahead.pass(clock_.now() - ahead.now() + std::chrono::hours(24 * 365));
  EXPECT_FALSE(shred_cluster(repository_, "app", ahead, cancellation_)) << "the store's time counts";
  EXPECT_EQ(store().list_all("clusters/")->size(), 9U) << "leases among them";
  ASSERT_TRUE(store().remove(space.object_name("snapshots/x")));
  ASSERT_TRUE(shred());
  expect_gone();
}

TEST_F(ShredClusterTest, TellsWhatWouldGoAndTakesIt) {
  const auto told = preview();
  ASSERT_TRUE(told) << told.error().describe();
  EXPECT_TRUE(told->has_key);
  EXPECT_TRUE(told->readable);
  EXPECT_EQ(told->stored.objects, 3U);
  ASSERT_TRUE(told->record);
  EXPECT_EQ(told->record->slot, "pgstrata_app");
  EXPECT_EQ(store().list_all("clusters/")->size(), 3U);

  std::uint64_t seen = 0;
  const auto done = shred_cluster(repository_, "app", clock_, cancellation_,
                                  [&](const ObjectTally& removed) { seen = removed.objects; });
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_TRUE(done->key_destroyed);
  EXPECT_GE(done->removed.objects, 2U);
  EXPECT_EQ(seen, 2U);
  expect_gone();
}

TEST_F(ShredClusterTest, NobodyMayBeAtWork) {
  const auto space = repository_.open_cluster("app");
  for (const char* work : {"stream", "backup", "prune", "copy"}) {
    const auto lease = Lease::acquire(*space, work, work, clock_);
    ASSERT_TRUE(lease);
    const auto refused = shred();
    ASSERT_FALSE(refused) << work;
    EXPECT_EQ(refused.error().code(), ErrorCode::busy);
    EXPECT_TRUE(repository_.open_cluster("app"));
  }
  EXPECT_TRUE(shred());
  expect_gone();
}

TEST_F(ShredClusterTest, WhatACutLeftIsFinished) {
  ASSERT_TRUE(destroy_cluster_key(store(), "app"));
  ASSERT_TRUE(store().put("clusters/app/leases/stream", Bytes(10)));
  const auto told = preview();
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->has_key);
  const auto done = shred();
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_FALSE(done->key_destroyed);
  expect_gone();
}

TEST_F(ShredClusterTest, OneWhoseKeyDoesNotOpenGoesTheSameWay) {
  ASSERT_TRUE(store().remove("clusters/app/key"));
  ASSERT_TRUE(store().put("clusters/app/key", as_byte_view("torn")));
  const auto told = preview();
  ASSERT_TRUE(told) << told.error().describe();
  EXPECT_TRUE(told->has_key);
  EXPECT_FALSE(told->readable);
  ASSERT_TRUE(shred());
  expect_gone();
}

TEST_F(ShredClusterTest, StoppedAfterTheKeySaysSoAndGoesOn) {
  Cancellation stop;
  stop.request();
  const auto stopped = shred_cluster(repository_, "app", clock_, stop);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), ErrorCode::cancelled);
  EXPECT_TRUE(shred());
  expect_gone();
}

TEST_F(ShredClusterTest, WhoOpenedItBeforeBeginsNothingAfterwards) {
  const auto space = repository_.open_cluster("app");
  ASSERT_TRUE(shred());
  const auto late = acquire_to_write(*space, "stream", "stream", clock_);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::not_found);
  EXPECT_THAT(late.error().message(), HasSubstr("shredded"));
  expect_gone();
}

class RotateRepositoryKeyTest : public ShredClusterTest {};

TEST_F(RotateRepositoryKeyTest, AKeyFileIsMadeAndKeptOnlyWhereItOpens) {
  const auto file = directory_.path() / "next";
  ASSERT_TRUE(repository_.add_key_slot(Passphrase{.text = "x"}, clock_));
  const auto refused = rotate_repository_key(repository_, {.key_file = file}, {}, clock_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::usage);
  EXPECT_FALSE(file_exists(file).value());
  const auto done =
      rotate_repository_key(repository_, {.key_file = file}, {.drop_other_slots = true}, clock_);
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_TRUE(done->key_file_generated);
  EXPECT_EQ(done->rotation.clusters, 1U);
  EXPECT_TRUE(*repository_.opens_with(*read_key_file(file)));
  EXPECT_TRUE(repository_.open_cluster("app"));
}

}  // namespace
}  // namespace pgstrata
