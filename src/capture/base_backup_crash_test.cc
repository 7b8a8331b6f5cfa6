// Everything that a store may do to a base backup, at each of its steps: no snapshot is seen that is not
// whole, an older one stays whole, and the next run succeeds.
#include <gtest/gtest.h>

#include "base/log.h"
#include "capture/replayed_backup_for_test.h"
#include "check/verify.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

// Passed-over packs and leases are told to the log.
class SilentSink : public LogSink {
 public:
  SilentSink() { set_log_sink(this); }
  ~SilentSink() override { set_log_sink(nullptr); }
  SilentSink(const SilentSink&) = delete;
  SilentSink& operator=(const SilentSink&) = delete;
  void write(Severity, std::string_view) override {}
};

class BaseBackupCrashTest : public ::testing::Test {
 protected:
  // A repository that holds WAL and an older snapshot.
  BaseBackupCrashTest() {
    seal_wal_of_replayed_backup(space_over(template_), clock_);
    EXPECT_TRUE(back_up(template_, data_directory_files()));
    newer_["base/5/1259"] = noise(5 * extent_bytes, 11);
    newer_["base/5/16400"] = noise(12 * extent_bytes + 8192, 12);
  }

  static ClusterSpace space_over(ObjectStore& store) { return {store, "app", fixed_key(1)}; }

  Result<SnapshotRecord> back_up(ObjectStore& store, const SnapshotFiles& files) {
    clock_.pass(std::chrono::seconds(1));  // snapshots sort by when they were begun
    ReplayedBackup source(files);
    return replay_backup(source, space_over(store), clock_);
  }

  void copy_template(ObjectStore& into) {
    for (const auto& object : must(template_.list_all("")))
      ASSERT_TRUE(into.put(object.name, must(template_.get(object.name))));
  }

  void expect_sound(ObjectStore& store, std::size_t snapshots_min, std::size_t snapshots_max) {
    const auto report = must(verify_cluster(space_over(store), segment_bytes, {}, cancellation_));
    EXPECT_TRUE(report.sound()) << (report.damaged.empty()
                                        ? ""
                                        : report.damaged.front().name + ": " + report.damaged.front().what);
    EXPECT_GE(report.snapshots, snapshots_min);
    EXPECT_LE(report.snapshots, snapshots_max);
  }

  // False when the backup has fewer steps.
  bool run(Fault::Kind kind, ErrorCode code, std::uint64_t step) {
    MemoryStore beneath;
    copy_template(beneath);
    FaultStore faulty(beneath, step);
    faulty.set_fault({.kind = kind, .at_step = step, .step_count = 1, .code = code});
    const auto made = back_up(faulty, newer_);
    const bool struck = !faulty.last_fault().empty();
    SCOPED_TRACE(faulty.last_fault());
    if (kind == Fault::Kind::crash && !faulty.crashed()) faulty.crash();
    expect_sound(beneath, made ? 2 : 1, 2);

    const std::size_t before = must(list_snapshots(space_over(beneath))).snapshots.size();
    const auto again = back_up(beneath, newer_);
    EXPECT_TRUE(again) << again.error().describe();
    expect_sound(beneath, before + 1, before + 1);
    return struck;
  }
  void run_all(Fault::Kind kind, ErrorCode code = ErrorCode::unavailable) {
    std::uint64_t step = 1;
    while (run(kind, code, step) && !HasFailure()) step += fault_step_stride;
    EXPECT_GT(step, 10U) << "the backup had steps to fail at";
  }

  SilentSink silence_;
  HeldClock clock_;
  Cancellation cancellation_;
  MemoryStore template_;
  SnapshotFiles newer_ = data_directory_files();
};

TEST_F(BaseBackupCrashTest, ACrashAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::crash);
}

TEST_F(BaseBackupCrashTest, AFullDiskAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::error, ErrorCode::no_space);
}

TEST_F(BaseBackupCrashTest, ALostAnswerAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::lost_answer);
}

TEST_F(BaseBackupCrashTest, WhatAnUnpublishedRunStoredIsFoundAgain) {
  MemoryStore beneath;
  copy_template(beneath);
  FaultStore faulty(beneath, 1);
  const auto whole = must(back_up(faulty, newer_));
  ASSERT_GT(whole.added_bytes, 12 * extent_bytes);
  // Publishing is the last step of all.
  MemoryStore second;
  copy_template(second);
  FaultStore failing(second, 1);
  failing.set_fault({.kind = Fault::Kind::error, .at_step = faulty.steps(), .code = ErrorCode::no_space});
  const auto unpublished = back_up(failing, newer_);
  ASSERT_FALSE(unpublished);
  EXPECT_EQ(unpublished.error().code(), ErrorCode::no_space);
  expect_sound(second, 1, 1);
  const auto again = must(back_up(second, newer_));
  EXPECT_LT(again.added_bytes, whole.added_bytes / 10);
  expect_sound(second, 2, 2);
}

}  // namespace
}  // namespace pgstrata::testing
