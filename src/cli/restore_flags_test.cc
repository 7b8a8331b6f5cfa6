#include "cli/restore_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

RestoreFlags flags() {
  RestoreFlags flags;
  flags.cluster = "app";
  flags.directory = "d";
  return flags;
}

TEST(RestoreFlags, SayWhetherTheTargetItselfIsRestored) {
  RestoreFlags given = flags();
  given.xid = "744";
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()), "transaction 744");
  given.exclusive = true;
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()),
            "the moment just before transaction 744");
}

TEST(RestoreFlags, TakeATransactionNumberWithItsEpoch) {
  const auto restored_to = [](const std::string& xid) {
    RestoreFlags given = flags();
    given.xid = xid;
    const auto target = recovery_target(given, system_clock());
    return target ? describe(*target) : target.error().describe();
  };
  EXPECT_EQ(restored_to("4294967295"), "transaction 4294967295");
  EXPECT_EQ(restored_to("4294967299"), "transaction 3");
  EXPECT_EQ(restored_to("abc"), "--xid takes a number, not \"abc\"");
  EXPECT_EQ(restored_to("-1"), "--xid takes a number, not \"-1\"");
}

TEST(RestoreFlags, RefuseATimelineThatIsNoNumber) {
  RestoreFlags given = flags();
  given.timeline = "1x";
  EXPECT_EQ(recovery_target(given, system_clock()).error().message(),
            "--timeline takes a number, not \"1x\"");
}

TEST(RestoreFlags, RefuseAFolderWithoutAName) {
  RestoreFlags given = flags();
  given.directory = "";
  const auto request = restore_request(given, system_clock());
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().code(), ErrorCode::usage);
  EXPECT_EQ(request.error().describe(), "--to names no folder");
}

}  // namespace
}  // namespace pgstrata
