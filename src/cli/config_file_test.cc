#include "cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

std::string refusal_of(std::string_view text) {
  const auto config = parse_config(text, "x.toml");
  if (config.has_value()) return "taken";
  EXPECT_EQ(config.error().code(), ErrorCode::usage);
  EXPECT_FALSE(config.error().hint().empty());
  return config.error().message();
}

TEST(ConfigFile, ReadsEverySetting) {
  const auto config =
      parse_config("# settings\nrepo = \"/srv/backup\"\nkey_file = '/etc/key'\nlog = \"debug\"\n", "x");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  EXPECT_EQ(config->repo, "/srv/backup");
  EXPECT_EQ(config->key_file, "/etc/key");
  EXPECT_EQ(config->log, Severity::debug);
  EXPECT_EQ(config->passphrase_env, std::nullopt);
  EXPECT_EQ(parse_config("passphrase_env = \"P\"", "x").value().passphrase_env, "P");
  EXPECT_EQ(parse_config("", "x").value().repo, std::nullopt);
}

TEST(ConfigFile, NamesFileAndLineOfWhatItDoesNotUnderstand) {
  EXPECT_EQ(refusal_of("\nrepository = \"/srv\"\n"), "x.toml line 2: there is no setting \"repository\"");
  EXPECT_EQ(refusal_of("repo = 5"), "x.toml line 1: repo takes a text");
  EXPECT_EQ(refusal_of("\n\nlog = \"loud\""), "x.toml line 3: log cannot be \"loud\"");
  EXPECT_EQ(refusal_of("[repo]\nfolder = \"x\""), "x.toml line 1: repo takes a text");
  EXPECT_EQ(refusal_of("key_file = \"a\"\npassphrase_env = \"b\""),
            "x.toml line 2: key_file and passphrase_env exclude each other");
  EXPECT_THAT(refusal_of("repo = /srv"), ::testing::StartsWith("x.toml line 1: "));
  EXPECT_THAT(refusal_of("repo = \"a\"\nrepo = \"b\""), ::testing::StartsWith("x.toml line 2: "));
}

TEST(ConfigFile, ReadsForHowLongWhatIsKept) {
  using std::chrono::days;
  const auto config = parse_config(
      "[retention]\nwindow = \"30d\"\nevery = \"2d\"\nhourly = \"1w\"\ndaily = \"30d\"\nweekly = "
      "\"13w\"\nmonthly = \"1y\"\nyearly = \"7y\"\n"
      "floor = \"36h\"\n[cluster.app.retention]\nwindow = \"7d\"\n",
      "x");
  ASSERT_TRUE(config.has_value()) << config.error().describe();
  const RetentionPolicy general{.window = days(30),
                                .every = days(2),
                                .hourly = days(7),
                                .daily = days(30),
                                .weekly = days(91),
                                .monthly = days(366),
                                .yearly = days(7 * 366),
                                .floor = std::chrono::hours(36)};
  EXPECT_EQ(config->retention.of("other"), general);
  RetentionPolicy own;
  own.window = days(7);
  EXPECT_EQ(config->retention.of("app"), own);
  EXPECT_EQ(parse_config("", "x").value().retention.of("app"), RetentionPolicy());
}

TEST(ConfigFile, RefusesARetentionThatItDoesNotUnderstand) {
  EXPECT_EQ(refusal_of("retention = \"30d\""), "x.toml line 1: retention is a table");
  EXPECT_EQ(refusal_of("[retention]\ndaily = \"30d\""), "x.toml line 1: retention has no window");
  EXPECT_EQ(refusal_of("[retention]\nwindow = 30"), "x.toml line 2: window takes a text");
  EXPECT_EQ(refusal_of("[retention]\nwindow = \"30\""), "x.toml line 2: \"30\" is no span of time");
  EXPECT_EQ(refusal_of("[retention]\nwindow = \"-1d\""), "x.toml line 2: \"-1d\" is no span of time");
  EXPECT_EQ(refusal_of("[retention]\nwindow = \"1001y\""),
            "x.toml line 2: \"1001y\" is longer than anything lasts");
  EXPECT_EQ(refusal_of("[retention]\nwindow = \"0d\""), "x.toml line 2: \"0d\" is no span of time");
  EXPECT_EQ(refusal_of("[retention]\nminutely = \"1d\""),
            "x.toml line 2: retention has no setting \"minutely\"");
  EXPECT_EQ(refusal_of("[cluster.app]\nwindow = \"1d\""),
            "x.toml line 2: a cluster has no setting \"window\"");
  EXPECT_EQ(refusal_of("[cluster]\napp = 5"), "x.toml line 2: cluster.app is a table");
  EXPECT_EQ(refusal_of("[cluster.app.retention]\n"), "x.toml line 1: cluster.app.retention has no window");
}

TEST(ConfigFile, NamesTheFileThatIsMissing) {
  const auto config = read_config("/nonexistent/pgstrata.toml");
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().code(), ErrorCode::not_found);
  EXPECT_THAT(config.error().describe(), ::testing::HasSubstr("/nonexistent/pgstrata.toml"));
}

}  // namespace
}  // namespace pgstrata
