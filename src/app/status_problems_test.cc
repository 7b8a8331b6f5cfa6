#include "app/status_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SnapshotRecord snapshot(std::string id) {
  SnapshotRecord record;
  record.id = std::move(id);
  return record;
}

CoverageRange range(std::uint64_t from, std::uint64_t to, bool open_ended) {
  CoverageRange covered;
  covered.timeline = {1};
  covered.from_lsn = {from};
  covered.to_lsn = {to};
  covered.from_time = {static_cast<std::int64_t>(from)};
  covered.to_time = {static_cast<std::int64_t>(to)};
  covered.open_ended = open_ended;
  return covered;
}

ClusterStatus sound() {
  ClusterStatus status;
  status.name = "app";
  status.coverage.snapshots.push_back(snapshot("s1"));
  status.coverage.current_timeline = TimelineId{1};
  status.coverage.ranges.push_back(range(100, 200, true));
  status.stream = LeaseHolder{};
  status.lag_time = std::chrono::seconds(1);
  return status;
}

std::vector<std::string> codes(const ClusterStatus& status) {
  std::vector<std::string> found;
  for (const auto& problem : find_problems(status)) {
    EXPECT_FALSE(problem.what.empty());
    EXPECT_FALSE(problem.hint.empty());
    found.push_back(problem.code);
  }
  return found;
}

TEST(StatusProblems, FindsNoneInASoundCluster) {
  EXPECT_THAT(codes(sound()), ElementsAre());
}

TEST(StatusProblems, SeesAGapBeforeTheNewestTimelineAndNoneToOneThatWasLeft) {
  ClusterStatus status = sound();
  status.coverage.current_timeline = TimelineId{2};
  status.coverage.ranges = {range(100, 200, false), range(300, 400, true), range(500, 600, true)};
  status.coverage.ranges[1].timeline = {2};
  EXPECT_THAT(codes(status), ElementsAre("coverage_gap"));
  status.coverage.ranges.erase(status.coverage.ranges.begin());
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, SaysWhichLeftTimelineHasWhatAGapLacks) {
  ClusterStatus status = sound();
  status.coverage.current_timeline = TimelineId{2};
  status.coverage.ranges = {range(100, 200, false), range(300, 400, true), range(200, 350, true)};
  status.coverage.ranges[1].timeline = {2};
  ASSERT_THAT(codes(status), ElementsAre("coverage_gap"));
  EXPECT_THAT(find_problems(status)[0].hint, HasSubstr("--timeline 1"));
}

TEST(StatusProblems, SeesASourceOnATimelineThatWasLeft) {
  ClusterStatus status = sound();
  status.coverage.current_timeline = TimelineId{3};
  status.coverage.ranges[0].timeline = {3};
  status.source.reachable = true;
  status.source.timeline = {1};
  status.name = "app";
  ASSERT_THAT(codes(status), ElementsAre("source_on_other_timeline"));
  EXPECT_THAT(find_problems(status).front().hint, HasSubstr("`pgstrata add app --url ...`"));
  status.source.timeline = {3};
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, SaysWhatIsDamaged) {
  const auto damaged = make_error(ErrorCode::damaged, "it is broken").with_hint("Remove it.");
  ClusterStatus status = sound();
  status.coverage.damaged_snapshots.push_back({"s0", damaged});
  status.coverage.damaged_histories.push_back({{2}, damaged});
  status.damaged_leases.push_back(damaged);
  EXPECT_THAT(codes(status), ElementsAre("snapshot_damaged", "history_damaged", "lease_damaged"));
}

TEST(StatusProblems, SaysWhenNothingCanBeRestored) {
  ClusterStatus status = sound();
  status.coverage.snapshots.clear();
  status.coverage.ranges.clear();
  EXPECT_THAT(codes(status), ElementsAre("no_snapshot"));
  status.backup = LeaseHolder{};
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, SaysWhenCommitsAreNotProtected) {
  ClusterStatus status = sound();
  status.lag_time = std::chrono::minutes(5);
  status.name = "app";
  EXPECT_THAT(codes(status), ElementsAre("stream_behind"));
  EXPECT_THAT(find_problems(status).front().hint, HasSubstr("`journalctl -u pgstrata-stream@app`"));
  status.stream.reset();
  EXPECT_THAT(codes(status), ElementsAre("stream_not_running"));
  // Just after a backup that brought its own WAL.
  status.lag_time = std::chrono::seconds(5);
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, ShowsGaps) {
  ClusterStatus status = sound();
  status.coverage.ranges = {range(100, 200, false), range(300, 400, true)};
  ASSERT_THAT(codes(status), ElementsAre("coverage_gap"));
  EXPECT_THAT(find_problems(status)[0].what, HasSubstr("0/C8"));
  status.coverage.ranges = {range(100, 200, false)};
  EXPECT_THAT(codes(status), ElementsAre("coverage_ended"));
  // What an old primary wrote beyond the fork goes on for ever.
  status.coverage.ranges.push_back(range(150, 300, true));
  status.coverage.ranges[0].timeline = {2};
  status.coverage.current_timeline = TimelineId{2};
  EXPECT_THAT(codes(status), ElementsAre("coverage_ended"));
}

TEST(StatusProblems, NamesDamageAndBadPages) {
  ClusterStatus status = sound();
  status.coverage.damaged_snapshots.push_back({.id = "s0", .error = Error(ErrorCode::damaged, "torn")});
  status.coverage.snapshots.back().bad_page_count = 5;
  status.coverage.snapshots.back().bad_pages = {{.path = "base/5/16384", .block = {7}}};
  ASSERT_THAT(codes(status), ElementsAre("snapshot_damaged", "bad_pages"));
  EXPECT_THAT(find_problems(status)[1].what, HasSubstr("base/5/16384 block 7, ..."));
}

TEST(StatusProblems, LooksAtTheSlotWhereTheServerTells) {
  ClusterStatus status = sound();
  status.record.slot = "pgstrata_app";
  status.source.asked = true;
  status.source.reachable = true;
  status.source.timeline = {1};
  EXPECT_THAT(codes(status), ElementsAre());
  status.source.slot_known = true;
  EXPECT_THAT(codes(status), ElementsAre("slot_missing"));
  status.source.slot_present = true;
  EXPECT_THAT(codes(status), ElementsAre("slot_invalid"));
  status.source.slot_restart_lsn = {100};
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, SaysThatTheSourceIsAnotherCluster) {
  ClusterStatus status = sound();
  status.source.asked = true;
  status.source.other_cluster = true;
  status.source.why_not = "the server there is another cluster";
  status.name = "app";
  ASSERT_THAT(codes(status), ElementsAre("source_is_another_cluster"));
  EXPECT_THAT(find_problems(status).front().hint, HasSubstr("`pgstrata add app --url ...`"));
}

TEST(StatusProblems, SaysWhenAStreamDoesNotFollowTheSource) {
  ClusterStatus status = sound();
  status.source.asked = true;
  status.source.reachable = true;
  status.source.timeline = {2};
  ASSERT_THAT(codes(status), ElementsAre("source_on_newer_timeline"));
  EXPECT_THAT(find_problems(status)[0].hint, HasSubstr("restart it"));
  status.coverage.current_timeline = TimelineId{2};
  status.coverage.ranges[0].timeline = {2};
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, SaysWhenTheSourceCannotBeAskedAlsoBesideASoundStream) {
  ClusterStatus status = sound();
  status.source.asked = true;
  status.source.why_not = "password authentication failed";
  ASSERT_THAT(codes(status), ElementsAre("source_unreachable"));
  EXPECT_THAT(find_problems(status)[0].what, HasSubstr("from here: password authentication failed"));
  status.source = {};  // --offline
  EXPECT_THAT(codes(status), ElementsAre());
}

TEST(StatusProblems, WarnsOfAFullDisk) {
  RepositoryStatus status;
  add_repository_problems(status);
  EXPECT_TRUE(status.problems.empty());
  status.free_bytes = 100U << 20;
  add_repository_problems(status);
  ASSERT_EQ(status.problems.size(), 1U);
  EXPECT_EQ(status.problems[0].code, "repository_nearly_full");
}

}  // namespace
}  // namespace pgstrata
