#include "cli/settings.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class SettingsTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, std::string_view text) {
    const auto path = directory_.path() / name;
    EXPECT_TRUE(make_directories(path.parent_path()).has_value());
    EXPECT_TRUE(write_file(path, as_byte_view(text)).has_value());
    return path;
  }
  Result<Settings> resolve(const SharedFlags& flags = {}) {
    const auto lookup = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
    return resolve_settings(flags, lookup, directory_.path() / "etc.toml");
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("settings").value();
  std::map<std::string, std::string> variables_;
};

TEST_F(SettingsTest, FlagsWinOverVariablesAndThoseOverFiles) {
  write("etc.toml", "repo = \"/from-system\"\nkey_file = \"/system-key\"\n");
  EXPECT_EQ(resolve().value().repo, "/from-system");
  variables_["HOME"] = directory_.path();
  write(".config/pgstrata/pgstrata.toml", "repo = \"/from-user\"\n");
  EXPECT_EQ(resolve().value().repo, "/from-user");
  EXPECT_EQ(resolve().value().key.key_file, "/system-key");
  variables_["PGSTRATA_REPO"] = "/from-variable";
  EXPECT_EQ(resolve().value().repo, "/from-variable");
  EXPECT_EQ(resolve({.repo = "/from-flag"}).value().repo, "/from-flag");
}

TEST_F(SettingsTest, ANamedFileIsTheOnlyOneAndMustBeThere) {
  write("etc.toml", "repo = \"/from-system\"\n");
  const auto named = write("other.toml", "log = \"warning\"\n");
  EXPECT_EQ(resolve({.config = named}).value().repo, std::nullopt);
  EXPECT_EQ(resolve({.config = named}).value().log, Severity::warning);
  variables_["PGSTRATA_CONFIG"] = directory_.path() / "missing.toml";
  EXPECT_EQ(resolve().error().code(), ErrorCode::not_found);
}

TEST_F(SettingsTest, AKeyHidesAllKeysBelow) {
  write("etc.toml", "passphrase_env = \"SECRET\"\n");
  variables_["SECRET"] = "correct horse";
  EXPECT_EQ(resolve().value().key.passphrase, "correct horse");
  variables_["PGSTRATA_KEY_FILE"] = "/variable-key";
  const KeyChoice from_variable = resolve().value().key;
  EXPECT_EQ(from_variable.key_file, "/variable-key");
  EXPECT_EQ(from_variable.passphrase, std::nullopt);
  const KeyChoice none = resolve({.no_encryption = true}).value().key;
  EXPECT_TRUE(none.no_encryption);
  EXPECT_EQ(none.key_file, std::nullopt);
  EXPECT_EQ(resolve({.passphrase_env = "SECRET"}).value().key.passphrase, "correct horse");
}

TEST_F(SettingsTest, RefusesWhatIsAmbiguousOrEmpty) {
  EXPECT_EQ(resolve({.passphrase_env = "UNSET"}).error().message(), "the variable UNSET holds no passphrase");
  variables_["PGSTRATA_KEY_FILE"] = "/key";
  variables_["PGSTRATA_PASSPHRASE"] = "words";
  EXPECT_EQ(resolve().error().code(), ErrorCode::usage);
  EXPECT_EQ(resolve({.key_file = "/other"}).value().key.key_file, "/other");
}

TEST_F(SettingsTest, SaysHowToNameARepository) {
  const auto repo = required_repository(resolve().value());
  ASSERT_FALSE(repo.has_value());
  EXPECT_EQ(repo.error().code(), ErrorCode::usage);
  EXPECT_THAT(repo.error().hint(), ::testing::HasSubstr("PGSTRATA_REPO"));
}

TEST_F(SettingsTest, VerboseShowsEverything) {
  EXPECT_EQ(resolve().value().log, Severity::info);
  EXPECT_EQ(resolve({.verbose = true}).value().log, Severity::debug);
}

}  // namespace
}  // namespace pgstrata
