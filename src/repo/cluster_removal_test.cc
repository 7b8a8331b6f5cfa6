#include "repo/cluster_removal.h"

#include "repo/at_each_step.h"
#include "repo/lease.h"
#include "repo/record.h"

namespace pgstrata {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const KeySource only_secret = KeyFile{.secret = Bytes(40, std::byte{1})};
const Cancellation never;

Repository reopen(ObjectStore& store) {
  return *Repository::open(borrow(store), only_secret);
}

// Two clusters with some objects each, one with a name that the other's begins with.
void fill_two_clusters(ObjectStore& store) {
  auto repository = *Repository::create(borrow(store), only_secret, HeldClock());
  for (const char* name : {"app", "app-2"}) {
    const auto space = repository.create_cluster(name);
    ASSERT_EQ(message_of(space), "ok");
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(store.put(space->object_name(fmt::format("packs/{}", i)), Bytes(10)).has_value());
    }
    ASSERT_TRUE(store.put(space->object_name("leases/stream"), Bytes(10)).has_value());
  }
}

Result<void> shred(ObjectStore& store) {
  PGS_CHECK(destroy_cluster_key(store, "app"));
  PGS_CHECK(remove_cluster_objects(store, "app", RemovedPart::all_but_leases, never));
  PGS_CHECK(remove_cluster_objects(store, "app", RemovedPart::leases, never));
  return {};
}

void expect_gone(ObjectStore& store) {
  auto repository = reopen(store);
  EXPECT_THAT(*store.list_all("clusters/app/"), IsEmpty());
  EXPECT_THAT(*repository.clusters(), ElementsAre("app-2"));
  EXPECT_THAT(*repository.clusters_without_key(), IsEmpty());
  EXPECT_EQ(code_of(repository.open_cluster("app")), "not_found");
  EXPECT_EQ(store.list_all("clusters/app-2/")->size(), 7U);
  EXPECT_EQ(message_of(repository.open_cluster("app-2")), "ok");
  EXPECT_EQ(message_of(repository.create_cluster("app")), "ok");
}

TEST(ClusterRemovalTest, TakesTheClusterAndNoOther) {
  MemoryStore store;
  fill_two_clusters(store);
  const auto tally = tally_cluster(store, "app");
  ASSERT_EQ(message_of(tally), "ok");
  EXPECT_EQ(tally->objects, 7U);
  EXPECT_GT(tally->bytes, 60U);
  EXPECT_EQ(message_of(shred(store)), "ok");
  expect_gone(store);
}

TEST(ClusterRemovalTest, NothingGoesWhileThereIsAKey) {
  MemoryStore store;
  fill_two_clusters(store);
  EXPECT_EQ(code_of(remove_cluster_objects(store, "app", RemovedPart::all_but_leases, never)),
            "already_exists");
  EXPECT_EQ(tally_cluster(store, "app")->objects, 7U);
}

TEST(ClusterRemovalTest, LeasesStayWhileTheyAreHeld) {
  MemoryStore store;
  fill_two_clusters(store);
  ASSERT_EQ(message_of(destroy_cluster_key(store, "app")), "ok");
  std::uint64_t seen = 0;
  const auto removed = remove_cluster_objects(store, "app", RemovedPart::all_but_leases, never,
                                              [&](const ObjectTally& tally) { seen = tally.objects; });
  ASSERT_EQ(message_of(removed), "ok");
  EXPECT_EQ(removed->objects, 5U);
  EXPECT_EQ(removed->bytes, 50U);
  EXPECT_EQ(seen, 5U);
  EXPECT_TRUE(store.stat("clusters/app/leases/stream").has_value());
}

TEST(ClusterRemovalTest, MoreThanAPageOfObjectsGoes) {
  MemoryStore store;
  fill_two_clusters(store);
  for (int i = 100; i < 450; ++i)
    ASSERT_TRUE(store.put(fmt::format("clusters/app/wal/{}", i), Bytes(1)).has_value());
  EXPECT_EQ(message_of(shred(store)), "ok");
  expect_gone(store);
}

TEST(ClusterRemovalTest, StopsWhenItIsTold) {
  MemoryStore store;
  fill_two_clusters(store);
  ASSERT_EQ(message_of(destroy_cluster_key(store, "app")), "ok");
  Cancellation stop;
  stop.request();
  EXPECT_EQ(code_of(remove_cluster_objects(store, "app", RemovedPart::leases, stop)), "cancelled");
}

TEST(ClusterRemovalTest, WhereverItStopsNothingIsReadAnyMoreOnceTheKeyWentAndRepeatingFinishesIt) {
  at_each_step([](ObjectStore& store) { return shred(store).has_value(); },
               [](ObjectStore& store, bool done) {
                 EXPECT_TRUE(!done || store.list_all("clusters/app/")->empty());
                 // Objects go only without a key.
                 if (store.stat("clusters/app/key").has_value()) {
                   EXPECT_EQ(tally_cluster(store, "app")->objects, 7U);
                   EXPECT_EQ(message_of(reopen(store).open_cluster("app")), "ok");
                 } else if (tally_cluster(store, "app")->objects > 0) {
                   EXPECT_THAT(*reopen(store).clusters_without_key(), ElementsAre("app"));
                   EXPECT_EQ(code_of(reopen(store).create_cluster("app")), "already_exists");
                 }
                 EXPECT_EQ(message_of(shred(store)), "ok");
                 expect_gone(store);
               },
               fill_two_clusters, few_crash_seeds);
}

}  // namespace
}  // namespace pgstrata
