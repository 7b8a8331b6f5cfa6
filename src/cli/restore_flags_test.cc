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
  given.xid = 744;
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()), "transaction 744");
  given.exclusive = true;
  EXPECT_EQ(describe(recovery_target(given, system_clock()).value()),
            "the moment just before transaction 744");
}

}  // namespace
}  // namespace pgstrata
