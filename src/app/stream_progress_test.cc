#include "app/stream_progress.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

WalReceiverStatus at(WalReceiverState state, std::uint64_t durable) {
  WalReceiverStatus status;
  status.state = state;
  status.durable = {durable};
  return status;
}

TEST(StreamProgress, WaitsUntilEnoughIsDurable) {
  StreamProgress progress;
  const Cancellation cancellation;
  std::thread receiver([&] {
    progress.wal_status(at(WalReceiverState::catching_up, 50));
    progress.wal_status(at(WalReceiverState::streaming, 100));
  });
  EXPECT_TRUE(progress.wait_until_connected(cancellation).has_value());
  EXPECT_TRUE(progress.wait_until_durable({100}, cancellation).has_value());
  receiver.join();
}

TEST(StreamProgress, TellsWhyTheStreamEnded) {
  StreamProgress progress;
  const Cancellation cancellation;
  progress.wal_status(at(WalReceiverState::streaming, 100));
  progress.ended(fail(ErrorCode::busy, "taken over"));
  EXPECT_TRUE(progress.wait_until_durable({100}, cancellation).has_value());
  EXPECT_EQ(progress.wait_until_durable({101}, cancellation).error().code(), ErrorCode::busy);
}

TEST(StreamProgress, PatienceEndsAWaitForAStreamThatReceivesNothing) {
  StreamProgress progress;
  const Cancellation cancellation;
  constexpr std::chrono::milliseconds patience{20};
  EXPECT_EQ(progress.wait_until_connected(cancellation, patience).error().code(), ErrorCode::unavailable);
  auto status = at(WalReceiverState::blocked, 100);
  status.problem = "no space left";
  progress.wal_status(status);
  const auto waited = progress.wait_until_durable({101}, cancellation, patience);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(waited.error().message(), ::testing::HasSubstr("no space left"));
}

// The disk is full, say: a backup says so at once.
TEST(StreamProgress, ARepositoryThatTakesNothingIsNotWaitedForToTheEndOfPatience) {
  StreamProgress progress;
  const Cancellation cancellation;
  auto status = at(WalReceiverState::blocked, 0);
  status.problem = "no space left";
  progress.wal_status(status);
  const auto waited = progress.wait_until_connected(cancellation, std::chrono::hours(1));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(waited.error().message(), ::testing::HasSubstr("no space left"));
}

TEST(StreamProgress, AStopEndsEveryWait) {
  StreamProgress progress;
  Cancellation cancellation;
  cancellation.request();
  EXPECT_EQ(progress.wait_until_connected(cancellation).error().code(), ErrorCode::cancelled);
  EXPECT_EQ(progress.wait_until_durable({1}, cancellation).error().code(), ErrorCode::cancelled);
}

TEST(StreamProgress, HandsOutEachGapOnce) {
  StreamProgress progress;
  EXPECT_FALSE(progress.next_gap(std::chrono::milliseconds(0)).has_value());
  progress.wal_lost({.timeline = {1}, .from = {10}, .to = {20}, .reason = "slot_missing"});
  const auto gap = progress.next_gap(std::chrono::seconds(10));
  ASSERT_TRUE(gap.has_value());
  EXPECT_EQ(gap->to, Lsn{20});
  EXPECT_FALSE(progress.next_gap(std::chrono::milliseconds(0)).has_value());
}

}  // namespace
}  // namespace pgstrata
