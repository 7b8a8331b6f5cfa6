#include "restore/restored_configuration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class RestoredConfigurationTest : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(write_file(directory_.path() / name, as_byte_view(text)));
  }
  ConfiguredValues values() { return read_configuration(open()); }
  bool is_whole() { return is_configuration_whole(open()); }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-configuration-test-").value();

 private:
  TargetDirectory open() { return TargetDirectory::open(directory_.path(), {}).value(); }
};

TEST_F(RestoredConfigurationTest, ReadsEscapesAsPostgresDoes) {
  write("postgresql.conf",
        "a = 'it''s'\nb = '\\160g_cron'\nc = '\\npg\\\\x\\q'\nB = 'last \\101\\0601'  # why\n");
  write("postgresql.auto.conf", "c = 'auto'\n");
  const ConfiguredValues expected{{"a", "it's"}, {"b", "last A01"}, {"c", "auto"}};
  EXPECT_EQ(values(), expected);
  write("postgresql.conf", "a = '\\160g_cron'\nb = '\\npg\\\\x\\q'\n");
  EXPECT_EQ(values()["a"], "pg_cron");
  EXPECT_EQ(values()["b"], "\npg\\xq");
}

TEST_F(RestoredConfigurationTest, IsWholeWithinItsDirectoryAlone) {
  write("postgresql.conf", "include 'more.conf'\ninclude_if_exists 'absent.conf'\n");
  write("more.conf", "a = 1\n");
  EXPECT_TRUE(is_whole());
  EXPECT_EQ(values()["a"], "1");
  for (const auto* other :
       {"include '/etc/other.conf'\n", "include_dir '/etc'\n", "include '../other.conf'\n",
        "include 'link.conf'\n", "include 'postgresql.conf'\n"}) {
    ASSERT_EQ(::access((directory_.path() / "link.conf").c_str(), F_OK), -1);
    ASSERT_EQ(::symlink("/etc/passwd", (directory_.path() / "link.conf").c_str()), 0);
    write("more.conf", other);
    EXPECT_FALSE(is_whole()) << other;
    ASSERT_TRUE(remove_file(directory_.path() / "link.conf"));
  }
}

}  // namespace
}  // namespace pgstrata
