// What verify says of WAL that is not there between some that is.
#include "check/verify_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using MissingWalTest = VerifyTest;

// A store to which something is added between two listings of its WAL.
class StoreWhereWalComes : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  std::function<void()> before_the_second_listing;

  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    if (prefix.ends_with("/wal/") && ++listings_ == 2) std::exchange(before_the_second_listing, {})();
    return BorrowedStore::list(prefix, after, limit);
  }

 private:
  int listings_ = 0;
};

TEST_F(MissingWalTest, MissingWalThatNoSnapshotFollowsCostsAllBehindIt) {
  remove(name_of(second_));
  ASSERT_TRUE(verify().sound());
  remove(wal_name(1));
  remove(wal_name(2));
  const auto report = verify();
  EXPECT_FALSE(report.sound());
  EXPECT_THAT(report.damaged, IsEmpty());
  EXPECT_THAT(report.missing_wal, ElementsAre(MissingWal{TimelineId{1}, segment_at(1), segment_at(3), {}}));
  ASSERT_THAT(report.lost, SizeIs(1));
  EXPECT_EQ(report.lost[0].from_lsn, segment_at(1));
  EXPECT_EQ(report.lost[0].to_lsn, segment_at(4));
  EXPECT_TRUE(report.lost[0].from_time.valid());
  EXPECT_GE(report.lost[0].to_time, report.lost[0].from_time);
}

// As it is after a base backup because of WAL that the source had removed.
TEST_F(MissingWalTest, MissingWalThatASnapshotFollowsIsMentioned) {
  remove(wal_name(1));
  const auto report = verify();
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.missing_wal,
              ElementsAre(MissingWal{TimelineId{1}, segment_at(1), segment_at(2), second_.id}));
  EXPECT_THAT(report.lost, IsEmpty());

  truncate(name_of(second_.packs.back()));
  const auto broken = verify();
  EXPECT_THAT(broken.missing_wal, ElementsAre(MissingWal{TimelineId{1}, segment_at(1), segment_at(2), {}}))
      << "a snapshot that is broken heals nothing";
  ASSERT_THAT(broken.lost, SizeIs(::testing::Ge(1U)));
  EXPECT_EQ(broken.lost.back().to_lsn, segment_at(4));
}

TEST_F(MissingWalTest, WalThatIsMissingBehindATailIsMissingFromTheTailsEnd) {
  remove(name_of(second_));
  remove(wal_name(2));
  cluster_.tail(2, segment_bytes / 2);
  EXPECT_THAT(verify().missing_wal,
              ElementsAre(MissingWal{TimelineId{1}, segment_at(2) + segment_bytes / 2, segment_at(3), {}}));
}

TEST_F(MissingWalTest, WhatIsMissingBeforeAnySnapshotWasNeverPromised) {
  remove(name_of(first_));
  remove(wal_name(1));
  const auto report = verify();
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.missing_wal, IsEmpty());
}

TEST_F(MissingWalTest, AFileThatIsNoWalMakesNoHole) {
  const auto name =
      cluster_.space->object_name(wal_object_name(TimelineId{1}, segment_at(4000), segment_bytes));
  ASSERT_TRUE(cluster_.store.put(name, as_byte_view("hello")));
  const auto report = verify();
  EXPECT_THAT(report.damaged, ElementsAre(damaged(name)));
  EXPECT_THAT(report.missing_wal, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
}

// As when a stream seals a segment while its folder is listed.
TEST_F(MissingWalTest, AHoleThatAStreamFillsMeanwhileIsNone) {
  remove(name_of(second_));
  const Bytes sealed = must(cluster_.store.get(wal_name(2)));
  remove(wal_name(2));
  StoreWhereWalComes coming(cluster_.store);
  coming.before_the_second_listing = [&] { ASSERT_TRUE(cluster_.store.put(wal_name(2), sealed)); };
  const auto repository = must(Repository::open(borrow(coming), NoEncryption{}));
  const auto report =
      must(verify_cluster(must(repository.open_cluster("app")), segment_bytes, {}, Cancellation()));
  EXPECT_FALSE(coming.before_the_second_listing) << "it happened";
  EXPECT_TRUE(report.sound());
  EXPECT_THAT(report.missing_wal, IsEmpty());
}

}  // namespace
}  // namespace pgstrata::testing
