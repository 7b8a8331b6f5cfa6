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
