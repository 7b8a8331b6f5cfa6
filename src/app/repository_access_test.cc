#include "app/repository_access.h"

#include <gtest/gtest.h>

#include "app/init_repository.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

TEST(RepositoryLocation, IsAFolderOrABucket) {
  const auto folder = [](std::string_view location) {
    return std::get<std::filesystem::path>(parse_repository_location(location).value());
  };
  EXPECT_EQ(folder("/srv/backup"), "/srv/backup");
  EXPECT_EQ(folder("backup"), "backup");
  EXPECT_EQ(folder("file:///srv/backup"), "/srv/backup");
  EXPECT_EQ(std::get<S3Location>(parse_repository_location("s3://bucket/x").value()).bucket, "bucket");
  for (const char* text : {"", "file://host/x", "ftp://host/x", "file://", "s3://", "s3://bucket?x=y"}) {
    EXPECT_EQ(parse_repository_location(text).error().code(), ErrorCode::usage) << text;
  }
}

class RepositoryAccessTest : public ::testing::Test {
 protected:
  std::string make(const KeyChoice& key) {
    const std::string location = (directory_.path() / "repo").string();
    const auto made = init_repository({.location = location, .key = key}, system_clock());
    EXPECT_TRUE(made.has_value()) << made.error().describe();
    return location;
  }
  // Opens without a key; counts how often a passphrase is asked for.
  Result<Repository> open(const std::string& location, const std::string& answer) {
    return open_repository(
        {.location = location, .key = {}, .ask_passphrase = [this, answer]() -> Result<std::string> {
           ++asked_;
           return answer;
         }});
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("access").value();
  int asked_ = 0;
};

TEST_F(RepositoryAccessTest, AsksForAPassphraseWhereOneOpens) {
  const std::string location = make({.passphrase = "correct horse"});
  EXPECT_TRUE(open(location, "correct horse").has_value());
  EXPECT_EQ(open(location, "wrong").error().code(), ErrorCode::wrong_key);
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(open_repository({.location = location, .key = {}}).error().code(), ErrorCode::wrong_key);
}

TEST_F(RepositoryAccessTest, DoesNotAskInVain) {
  const std::string location = make({.key_file = directory_.path() / "key"});
  EXPECT_EQ(open(location, "x").error().code(), ErrorCode::wrong_key);
  EXPECT_EQ(asked_, 0);
}

TEST_F(RepositoryAccessTest, NeedsNoKeyWhereThereIsNone) {
  const std::string location = make({.no_encryption = true});
  EXPECT_TRUE(open(location, "x").has_value());
  EXPECT_EQ(asked_, 0);
}

}  // namespace
}  // namespace pgstrata
