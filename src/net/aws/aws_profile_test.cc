// Sources: AWS SDKs and Tools Reference Guide, "Shared config and credentials files" and "Service-specific endpoints".
#include "net/aws/aws_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/aws/aws_profile_file.h"
#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using testing::HasSubstr;
using testing::Not;

class AwsProfileTest : public testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(make_directories(home_.path() / ".aws").has_value());
    ASSERT_TRUE(write_file(home_.path() / ".aws" / name, as_byte_view(text)).has_value());
  }
  Result<AwsSettings> load(const std::string& profile = "") {
    return AwsSettings::load(
        [this](const std::string& name) -> std::optional<std::string> {
          const auto found = variables_.find(name);
          return found == variables_.end() ? std::nullopt : std::optional(found->second);
        },
        profile);
  }

  TemporaryDirectory home_ = TemporaryDirectory::create("pgstrata-aws-").value();
  std::map<std::string, std::string> variables_{{"HOME", home_.path()}};
};

TEST_F(AwsProfileTest, ReadsBothFilesAndCredentialsCountBeforeConfig) {
  write("config",
        "\xEF\xBB\xBF# a comment\r\n[default]\r\nregion=eu-central-1\r\naws_session_token = old\r\n\r\n"
        "[profile eu]\nregion = eu-west-1 ; why\n  output=json\n[profile \"with blank\"]\nRegion = x#y\n"
        "[sso-session corp]\nsso_region = a\n[preview]\nz = 1\n");
  write("credentials",
        "[default]\naws_access_key_id = AKID\naws_secret_access_key= a/b+c==\n[other]\nregion =r");
  const auto settings = load().value();
  EXPECT_EQ(settings.profile(), (AwsProfile{{"region", "eu-central-1"},
                                            {"aws_access_key_id", "AKID"},
                                            {"aws_secret_access_key", "a/b+c=="}}));
  EXPECT_EQ(settings.named("eu").at("region"), "eu-west-1\noutput=json");
  EXPECT_EQ(settings.named("with blank").at("region"), "x#y");
  EXPECT_EQ(settings.named("other").at("region"), "r");
  EXPECT_TRUE(settings.named("preview").empty());
  EXPECT_TRUE(settings.named("corp").empty());
  EXPECT_FALSE(settings.profile_was_asked_for());
}

TEST_F(AwsProfileTest, NestedSettingsHaveADotAndAnIndentedFileIsNotNested) {
  const auto sections = parse_aws_file(
      "[default]\n  s3 =\n    addressing_style = path\n    # no\n    Max_Queue=5\n  region = r\n[services "
      "a]\ns3=\n endpoint_url=u",
      "f");
  EXPECT_EQ(
      sections.value().at("default"),
      (AwsProfile{{"s3", ""}, {"s3.addressing_style", "path"}, {"s3.max_queue", "5"}, {"region", "r"}}));
  EXPECT_EQ(sections.value().at("services a").at("s3.endpoint_url"), "u");
}

TEST_F(AwsProfileTest, WhatDoesNotParseIsSaidByLineWithoutItsContent) {
  for (const std::string_view text :
       {"[default]\n\nsecret\n", "\n\nsecret = 1\n", "\n\n[secret\n", "\n\n[a] secret"}) {
    const auto parsed = parse_aws_file(text, "the file");
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().code(), ErrorCode::usage);
    EXPECT_THAT(parsed.error().message(),
                testing::AllOf(HasSubstr("the file line 3"), Not(HasSubstr("secret"))));
  }
}

TEST_F(AwsProfileTest, TheProfileIsTheOneThatIsNamed) {
  write("config", "[profile a]\nregion = ra\n[profile b]\nregion = rb\n");
  EXPECT_TRUE(load().value().profile().empty());
  variables_["AWS_PROFILE"] = "a";
  EXPECT_EQ(load().value().region(), "ra");
  EXPECT_FALSE(load().value().profile_was_asked_for());
  EXPECT_EQ(load("b").value().region(), "rb");
  EXPECT_TRUE(load("b").value().profile_was_asked_for());
  const auto missing = load("c");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().hint(), HasSubstr("a, b"));
  variables_["AWS_PROFILE"] = "d";
  EXPECT_EQ(load().error().code(), ErrorCode::not_found);
}

TEST_F(AwsProfileTest, FilesAreWhereTheVariablesSay) {
  EXPECT_TRUE(load().value().profile().empty());
  ASSERT_TRUE(write_file(home_.path() / "mine", as_byte_view("[default]\nregion = mine\n")).has_value());
  variables_["AWS_CONFIG_FILE"] = "~/mine";
  EXPECT_EQ(load().value().region(), "mine");
  variables_["AWS_CONFIG_FILE"] = "/dev/null";
  EXPECT_FALSE(load().value().region());
  // Where no HOME is, the user database says; whatever its folder holds, nothing of this test's.
  variables_ = {{"AWS_CONFIG_FILE", home_.path() / "mine"}, {"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"}};
  EXPECT_EQ(load().value().region(), "mine");
}

TEST_F(AwsProfileTest, AFileThatMayNotBeReadIsNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  write("credentials", "[default]\n");
  ASSERT_EQ(::chmod((home_.path() / ".aws/credentials").c_str(), 0), 0);
  const auto settings = load();
  ASSERT_FALSE(settings.has_value());
  EXPECT_EQ(settings.error().code(), ErrorCode::permission);
  EXPECT_THAT(settings.error().message(), HasSubstr(".aws/credentials"));
}

TEST_F(AwsProfileTest, RegionAndEndpointsComeInTheirOrder) {
  write("config",
        "[default]\nregion = r0\nendpoint_url = http://e0\n[profile s]\nservices = local\nendpoint_url = "
        "http://e1\n"
        "[services local]\ns3 =\n  endpoint_url = http://s3\n[profile t]\nservices = none\n");
  EXPECT_EQ(load().value().s3_endpoint(), "http://e0");
  EXPECT_EQ(load("s").value().s3_endpoint(), "http://s3");
  EXPECT_EQ(load("s").value().endpoint("STS"), "http://e1");
  EXPECT_EQ(load("t").error().code(), ErrorCode::usage);
  variables_["AWS_DEFAULT_REGION"] = "r1";
  variables_["AWS_ENDPOINT_URL"] = "http://e2";
  EXPECT_EQ(load().value().region(), "r1");
  EXPECT_EQ(load("s").value().s3_endpoint(), "http://e2");
  variables_["AWS_REGION"] = "r2";
  variables_["AWS_ENDPOINT_URL_S3"] = "http://e3";
  EXPECT_EQ(load().value().region(), "r2");
  EXPECT_EQ(load("s").value().s3_endpoint(), "http://e3");
  variables_["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "True";
  EXPECT_FALSE(load("s").value().s3_endpoint());
}

}  // namespace
}  // namespace pgstrata
