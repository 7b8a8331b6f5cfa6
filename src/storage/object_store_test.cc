#include "storage/object_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(ObjectName, SaysWhatIsWrong) {
  EXPECT_TRUE(check_object_name("packs/ab/0123=-_.x"));
  const auto message = [](std::string_view name) { return check_object_name(name).error().message(); };
  EXPECT_THAT(message("a//b"), ::testing::HasSubstr("\"a//b\" has an empty part"));
  EXPECT_THAT(message("a/.b"), ::testing::HasSubstr("begins with"));
  EXPECT_THAT(message("a b"), ::testing::HasSubstr("has a character"));
  EXPECT_THAT(message(std::string(513, 'a')), ::testing::HasSubstr("too long"));
}

}  // namespace
}  // namespace pgstrata
