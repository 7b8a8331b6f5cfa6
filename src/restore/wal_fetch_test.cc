#include "restore/wal_fetch.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pg/format/wal_name.h"
#include "restore/restore_test_support.h"
#include "restore/wal_spool.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::must;
using testing::SampleCluster;
using testing::segment_bytes;

class WalFetchTest : public ::testing::Test {
 protected:
  // The last segment is a tail; the plan ends in the middle of the WAL's last records.
  WalFetchTest() {
    cluster_.seal(0, SampleCluster::segment_count() - 1);
    cluster_.tail(SampleCluster::segment_count() - 1, 320'000);
    cluster_.snapshot(testing::sample_records().all[0], testing::sample_records().all[0]);
    fs::create_directories(data_path_);
    EXPECT_TRUE(put_timeline_history(*cluster_.space, TimelineId{2}, as_byte_view("1\t0/F00000\twhy\n")));
    plan_ = must(cluster_.plan(LatestTarget{}, true, TimelineId{1}));
  }

  void make_kit(bool materialise_all = false) {
    ASSERT_TRUE(write_recovery_kit(*cluster_.space, plan_, open_data(),
                                   {.repository = "memory", .materialise_all = materialise_all}, never_));
  }
  TargetDirectory open_data() {
    return must(TargetDirectory::open(data_path_, must(choose_owner(data_path_))));
  }
  OpenStore opener() {
    return [this](const std::string& location) -> Result<std::unique_ptr<ObjectStore>> {
      EXPECT_EQ(location, "memory");
      return borrow(cluster_.store);
    };
  }
  const Cancellation never_;

  Result<bool> fetch(const std::string& name) {
    return fetch_wal_file(kit_path_, name, destination_, opener());
  }
  static std::string name_of(std::size_t index) {
    const auto number = wal_segment_of(testing::wal_sample().start, segment_bytes) + index;
    return wal_segment_name({TimelineId{1}, number}, segment_bytes);
  }
  // What recovery must be given: the sample up to the plan's end, zeros after.
  Bytes expected(std::size_t index) const {
    Bytes bytes = to_bytes(SampleCluster::segment(index));
    const Lsn start = testing::wal_sample().start + index * segment_bytes;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (start + at >= plan_.end_lsn) bytes[at] = std::byte{0};
    }
    return bytes;
  }
  void expect_all() {
    for (std::size_t index = 0; index < plan_.segments.size(); ++index) {
      ASSERT_TRUE(must(fetch(name_of(index)))) << index;
      EXPECT_TRUE(must(read_file(destination_)) == expected(index)) << index;
    }
  }

  SampleCluster cluster_;
  TemporaryDirectory folder_ = must(TemporaryDirectory::create("pgstrata-kit-test-"));
  fs::path data_path_ = folder_.path() / "data";
  fs::path kit_path_ = data_path_ / kit_file;
  fs::path destination_ = folder_.path() / "RECOVERYXLOG";
  RecoveryPlan plan_;
};

TEST_F(WalFetchTest, HandsOutEverySegmentUpToThePlansEnd) {
  make_kit();
  expect_all();
  expect_all();  // recovery may start over
}

TEST_F(WalFetchTest, EndsWhereThePlanEndsWithinASealedSegment) {
  const auto& records = testing::sample_records().all;
  plan_ = must(cluster_.plan(LsnTarget{records[records.size() / 3].start}, true, TimelineId{1}));
  make_kit();
  expect_all();
  EXPECT_FALSE(must(fetch(name_of(plan_.segments.size()))));
}

TEST_F(WalFetchTest, TheKitIsForItsOwnerAloneAndHoldsNoClusterKey) {
  make_kit();
  EXPECT_EQ(must(stat_file(kit_path_)).permissions, 0600U);
  EXPECT_EQ(must(stat_file(kit_path_.parent_path())).permissions, 0700U);
  const auto kit = must(decode_recovery_kit(must(read_file(kit_path_))));
  EXPECT_EQ(kit.cluster, "app");
  ASSERT_EQ(kit.segments.size(), plan_.segments.size());
  EXPECT_FALSE(kit.segments.back().pack_key.has_value()) << "a tail has no pack";
  for (std::size_t index = 0; index + 1 < kit.segments.size(); ++index) {
    EXPECT_TRUE(kit.segments[index].pack_key.has_value());
  }
}

TEST_F(WalFetchTest, WhatTheKitDoesNotListIsNotThere) {
  make_kit();
  EXPECT_FALSE(must(fetch("000000010000000000000001")));
  EXPECT_FALSE(must(fetch("00000003.history")));
  EXPECT_FALSE(must(fetch("../../../etc/passwd")));
  EXPECT_EQ(wal_fetch(kit_path_, "00000003.history", destination_, opener()), wal_fetch_not_there);
  EXPECT_FALSE(fs::exists(destination_));
}

// Process ids come again, in a container soon.
TEST_F(WalFetchTest, WhatAKilledProcessOfTheSameIdLeftIsNoHindrance) {
  make_kit();
  const auto left = destination_.native() + fmt::format(".{}.tmp", ::getpid());
  for (const auto& name : {std::string("00000002.history"), name_of(0), name_of(plan_.segments.size() - 1)}) {
    ASSERT_TRUE(write_file(left, as_byte_view("half")));
    EXPECT_TRUE(must(fetch(name))) << name;
    EXPECT_FALSE(fs::exists(left)) << name;
  }
  EXPECT_TRUE(must(read_file(destination_)) == expected(plan_.segments.size() - 1));
}

TEST_F(WalFetchTest, HandsOutTimelineHistories) {
  make_kit();
  EXPECT_TRUE(must(fetch("00000002.history")));
  EXPECT_EQ(as_text(must(read_file(destination_))), "1\t0/F00000\twhy\n");
}

TEST_F(WalFetchTest, AnythingWrongStopsRecovery) {
  make_kit();
  const auto name =
      cluster_.space->object_name(wal_object_name(TimelineId{1}, testing::wal_sample().start, segment_bytes));
  auto stored = must(cluster_.store.get(name));
  stored[stored.size() / 2] ^= std::byte{1};
  overwrite(cluster_.store, name, stored);
  const WalFetchOptions alone{.read_ahead_segments = 0};
  EXPECT_EQ(wal_fetch(kit_path_, name_of(0), destination_, opener(), alone), wal_fetch_failed);
  EXPECT_EQ(wal_fetch(kit_path_, name_of(1), destination_, opener(), alone), wal_fetch_done);
  ASSERT_TRUE(cluster_.store.remove(name));
  EXPECT_EQ(wal_fetch(kit_path_, name_of(0), destination_, opener(), alone), wal_fetch_failed);
  const OpenStore unreachable = [](const std::string&) -> Result<std::unique_ptr<ObjectStore>> {
    return fail(ErrorCode::unavailable, "no route to the repository");
  };
  EXPECT_EQ(wal_fetch(kit_path_, name_of(1), destination_, unreachable, alone), wal_fetch_failed);
  ASSERT_TRUE(remove_recovery_kit(open_data()));
  EXPECT_EQ(wal_fetch(kit_path_, name_of(1), destination_, opener(), alone), wal_fetch_failed);
  EXPECT_GT(wal_fetch_failed, 125);
  EXPECT_LE(wal_fetch_failed, 255);
}

TEST_F(WalFetchTest, AMaterialisedKitNeedsNoRepository) {
  make_kit(true);
  for (const auto& object : must(cluster_.space->list("wal/"))) {
    ASSERT_TRUE(cluster_.store.remove(cluster_.space->object_name(object.name)));
  }
  expect_all();
}

TEST_F(WalFetchTest, ReadAheadKeepsTheNextSegmentsReadyAndNoMore) {
  make_kit();
  ASSERT_TRUE(must(fetch(name_of(0))));
  const WalFetchOptions options{.read_ahead_segments = 1, .idle_limit = std::chrono::seconds(0)};
  ASSERT_TRUE(run_read_ahead(kit_path_, opener(), options));
  const auto spool = must(WalSpool::open(kit_path_));
  EXPECT_TRUE(fs::exists(spool.file(name_of(1))));
  EXPECT_FALSE(fs::exists(spool.file(name_of(2))));
  for (std::size_t index = 1; index < 3; ++index) {
    ASSERT_TRUE(cluster_.store.remove(cluster_.space->object_name(
        wal_object_name(TimelineId{1}, testing::wal_sample().start + index * segment_bytes, segment_bytes))));
  }
  ASSERT_TRUE(must(fetch(name_of(1)))) << "from the spool";
  EXPECT_TRUE(must(read_file(destination_)) == expected(1));
  EXPECT_FALSE(fs::exists(spool.file(name_of(1))));
  EXPECT_EQ(code_of(run_read_ahead(kit_path_, opener(), options)), "not_found");
}

TEST_F(WalFetchTest, WritingWalOutCanBeStoppedAndIsCounted) {
  KitOptions options{.repository = "memory", .materialise_all = false};
  EXPECT_EQ(must(recovery_kit_bytes(*cluster_.space, plan_, options)), segment_bytes) << "the tail";
  options.materialise_all = true;
  const auto all = plan_.segments.size() * segment_bytes;
  EXPECT_EQ(must(recovery_kit_bytes(*cluster_.space, plan_, options)), all);
  Cancellation stop;
  std::uint64_t written = 0;
  options.on_progress = [&](std::uint64_t bytes) {
    written = bytes;
    if (bytes == 2 * segment_bytes) stop.request();
  };
  EXPECT_EQ(code_of(write_recovery_kit(*cluster_.space, plan_, open_data(), options, stop)), "cancelled");
  EXPECT_EQ(written, 2 * segment_bytes);
  ASSERT_TRUE(write_recovery_kit(*cluster_.space, plan_, open_data(), options, never_));
  EXPECT_EQ(written, all);
}

TEST_F(WalFetchTest, AKitIsNotRemovedThroughALink) {
  const auto elsewhere = data_path_.parent_path() / "elsewhere";
  fs::create_directories(elsewhere / "pgstrata");
  fs::create_directory_symlink(elsewhere, data_path_ / "pg_wal");
  EXPECT_FALSE(remove_recovery_kit(open_data()));
  EXPECT_TRUE(fs::exists(elsewhere / "pgstrata"));
}

TEST_F(WalFetchTest, ReadAheadEndsWhenRecoveryIsPastTheListOrTheKitIsGone) {
  make_kit();
  const WalFetchOptions patient{.read_ahead_segments = 8, .idle_limit = std::chrono::hours(1)};
  ASSERT_TRUE(must(fetch(name_of(plan_.segments.size() - 1))));
  EXPECT_TRUE(run_read_ahead(kit_path_, opener(), patient));
  ASSERT_TRUE(remove_recovery_kit(open_data()));
  EXPECT_EQ(code_of(run_read_ahead(kit_path_, opener(), patient)), "not_found");
}

TEST(RecoveryKit, RefusesWhatIsNoKit) {
  RecoveryKit kit{"file:///backup", "app", segment_bytes, Lsn{0x3000100}, {}};
  kit.segments.push_back({TimelineId{1}, Lsn{0x2000000}, SecretKey::random()});
  kit.segments.push_back({TimelineId{1}, Lsn{0x3000000}, {}});
  const auto bytes = encode_recovery_kit(kit);
  const auto read = must(decode_recovery_kit(bytes));
  EXPECT_EQ(read.repository, kit.repository);
  EXPECT_EQ(read.end_lsn, kit.end_lsn);
  EXPECT_TRUE(std::ranges::equal(read.segments[0].pack_key->view(), kit.segments[0].pack_key->view()));
  EXPECT_FALSE(read.segments[1].pack_key.has_value());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto changed = bytes;
    changed[at] ^= std::byte{0x40};
    const bool reserved = at == 6 || at == 7;
    EXPECT_EQ(decode_recovery_kit(changed).has_value(), reserved) << at;
    EXPECT_FALSE(decode_recovery_kit(ByteView(bytes).first(at))) << at;
  }
  auto newer = bytes;
  newer[4] = std::byte{2};
  EXPECT_EQ(code_of(decode_recovery_kit(newer)), "newer_format");
}

}  // namespace
}  // namespace pgstrata
