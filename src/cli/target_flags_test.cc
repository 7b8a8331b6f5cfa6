#include "cli/target_flags.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(TargetFlags, SayWhetherTheTargetItselfIsRestored) {
  TargetFlags given;
  given.xid = "744";
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()), "transaction 744");
  given.exclusive = true;
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()),
            "the moment just before transaction 744");
}

TEST(TargetFlags, TakeATransactionNumberWithItsEpoch) {
  const auto restored_to = [](const std::string& xid) {
    TargetFlags given;
    given.xid = xid;
    const auto target = recovery_target(given, system_clock());
    return target ? describe(*target) : target.error().describe();
  };
  EXPECT_EQ(restored_to("4294967295"), "transaction 4294967295");
  EXPECT_EQ(restored_to("4294967299"), "transaction 3");
  EXPECT_EQ(restored_to("abc"), "--xid takes a number, not \"abc\"");
  EXPECT_EQ(restored_to("-1"), "--xid takes a number, not \"-1\"");
}

TEST(TargetFlags, RefuseATimelineThatIsNoNumber) {
  TargetFlags given;
  given.timeline = "1x";
  EXPECT_EQ(recovery_target(given, system_clock()).error().message(),
            "--timeline takes a number, not \"1x\"");
}

}  // namespace
}  // namespace pgstrata
