// Sources: AWS STS API Reference (2011-06-15), AWS SDKs and Tools Reference Guide, EC2 User Guide.
#include "net/aws/aws_credential_sources.h"

#include "net/aws/aws_credential_chain_test.h"
#include "net/url.h"

namespace pgstrata {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

class AwsCredentialSources : public AwsCredentialChainTest {
 protected:
  static std::map<std::string, std::string> form(const SentRequest& request) {
    std::map<std::string, std::string> fields;
    const auto query = parse_url_query(request.body).value();
    fields.insert(query.begin(), query.end());
    return fields;
  }
};

constexpr const char* role_profiles =
    "[default]\nregion = eu-west-1\n"
    "[profile base]\naws_access_key_id = B\naws_secret_access_key = bsec\naws_session_token = btok\n"
    "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = "
    "e&1\nduration_seconds = 900\n"
    "role_session_name = mine\nregion = eu-west-1\n"
    "[profile chained]\nrole_arn = arn:aws:iam::2:role/s\nsource_profile = role\n"
    "[profile self]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = self\naws_access_key_id = "
    "S\naws_secret_access_key = s\n"
    "[profile loop1]\nrole_arn = x\nsource_profile = loop2\n[profile loop2]\nrole_arn = x\nsource_profile = "
    "loop1\n"
    "[profile both]\nrole_arn = x\nsource_profile = base\ncredential_source = Environment\n[profile "
    "neither]\nrole_arn = x\n"
    "[profile env]\nrole_arn = x\ncredential_source = Environment\n[profile odd]\nrole_arn = "
    "x\ncredential_source = Moon\n"
    "[profile ec2]\nrole_arn = x\ncredential_source = Ec2InstanceMetadata\n[profile gone]\nrole_arn = "
    "x\nsource_profile = no\n"
    "[profile mfa]\nrole_arn = x\nsource_profile = base\nmfa_serial = m\n[profile half]\naws_access_key_id = "
    "H\n"
    "[profile sso]\nsso_session = corp\nsso_account_id = 1\n";

TEST_F(AwsCredentialSources, ARoleIsAssumedWithTheKeysOfItsSource) {
  config(role_profiles);
  aws_.answers["POST https://sts.eu-west-1.amazonaws.com/"] = {200, sts_answer("R")};
  const auto credentials = chain("role")->credentials().value();
  EXPECT_EQ(told(credentials), "R sec tok");
  EXPECT_EQ(credentials.expires, parse_rfc3339("2026-11-21T11:00:00Z").value());
  ASSERT_THAT(aws_.sent, SizeIs(1));
  EXPECT_EQ(form(aws_.sent[0]), (std::map<std::string, std::string>{{"Action", "AssumeRole"},
                                                                    {"Version", "2011-06-15"},
                                                                    {"RoleArn", "arn:aws:iam::1:role/r"},
                                                                    {"RoleSessionName", "mine"},
                                                                    {"ExternalId", "e&1"},
                                                                    {"DurationSeconds", "900"}}));
  EXPECT_THAT(aws_.sent[0].header("Authorization"),
              HasSubstr("Credential=B/20261121/eu-west-1/sts/aws4_request"));
  EXPECT_EQ(aws_.sent[0].header("X-Amz-Security-Token"), "btok");
  EXPECT_THAT(aws_.sent[0].header("Content-Type"), StartsWith("application/x-www-form-urlencoded"));
}

TEST_F(AwsCredentialSources, SourcesOfRolesAreFollowedButNotInACircle) {
  config(role_profiles);
  variables_["AWS_ENDPOINT_URL_STS"] = "http://localhost:9/";
  aws_.answers["POST http://localhost:9/"] = {200, sts_answer("R")};
  EXPECT_EQ(found("chained"), "R sec tok");
  ASSERT_THAT(aws_.sent, SizeIs(2));
  EXPECT_THAT(aws_.sent[1].header("Authorization"), HasSubstr("Credential=R/20261121/us-east-1/sts/"));
  EXPECT_EQ(form(aws_.sent[1]).at("RoleSessionName"), "pgstrata");
  EXPECT_EQ(found("self"), "R sec tok");
  EXPECT_THAT(found("loop1"), AllOf(StartsWith("usage"), HasSubstr("leads back")));
  EXPECT_THAT(found("both"), AllOf(StartsWith("usage"), HasSubstr("both")));
  EXPECT_THAT(found("neither"), AllOf(StartsWith("usage"), HasSubstr("none")));
  EXPECT_THAT(found("odd"), AllOf(StartsWith("usage"), HasSubstr("Moon")));
  EXPECT_THAT(found("gone"), StartsWith("permission"));
  EXPECT_THAT(found("env"), StartsWith("permission"));
  EXPECT_THAT(found("mfa"), StartsWith("unsupported"));
  EXPECT_THAT(found("half"), StartsWith("usage"));
  EXPECT_THAT(found("sso"),
              AllOf(StartsWith("unsupported"), HasSubstr("aws configure export-credentials --profile sso")));
  variables_["AWS_ACCESS_KEY_ID"] = "E";
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(found("env"), "R sec tok");
  be_an_instance("I");
  EXPECT_EQ(found("ec2"), "R sec tok");
}

TEST_F(AwsCredentialSources, WebIdentityIsNotSigned) {
  variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = file("token", "jwt\n");
  EXPECT_THAT(found(), AllOf(StartsWith("usage"), HasSubstr("AWS_ROLE_ARN")));
  variables_["AWS_ROLE_ARN"] = "arn:w";
  variables_["AWS_ROLE_SESSION_NAME"] = "pod";
  aws_.answers["POST https://sts.amazonaws.com/"] = {200, sts_answer("W")};
  EXPECT_EQ(found(), "W sec tok");
  ASSERT_THAT(aws_.sent, SizeIs(1));
  EXPECT_EQ(form(aws_.sent[0]), (std::map<std::string, std::string>{{"Action", "AssumeRoleWithWebIdentity"},
                                                                    {"Version", "2011-06-15"},
                                                                    {"RoleArn", "arn:w"},
                                                                    {"RoleSessionName", "pod"},
                                                                    {"WebIdentityToken", "jwt"}}));
  EXPECT_THAT(aws_.sent[0].header("Authorization"), IsEmpty());
  config("[profile w]\nrole_arn = arn:p\nregion = cn-north-1\nweb_identity_token_file = " +
         file("other", "jwt2"));
  aws_.answers["POST https://sts.cn-north-1.amazonaws.com.cn/"] = {200, sts_answer("P")};
  EXPECT_EQ(found("w"), "P sec tok");
  EXPECT_EQ(form(aws_.sent[1]).at("WebIdentityToken"), "jwt2");
  variables_["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/nowhere/token";
  EXPECT_THAT(found(), AllOf(StartsWith("failed"), HasSubstr("/nowhere/token")));
}

TEST_F(AwsCredentialSources, WhatStsSaysIsToldWithoutSecrets) {
  config(role_profiles);
  auto& answer = aws_.answers["POST https://sts.eu-west-1.amazonaws.com/"];
  const auto say = [&](int status, std::string_view code, std::string_view message) {
    answer = {status, fmt::format("<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</"
                                  "Message></Error></ErrorResponse>",
                                  code, message)};
    return found("role");
  };
  EXPECT_THAT(say(403, "AccessDenied", "User: x is not authorized"),
              AllOf(StartsWith("failed"), HasSubstr("AccessDenied: User: x is not")));
  EXPECT_THAT(say(400, "Throttling", "Rate exceeded"), StartsWith("unavailable"));
  EXPECT_THAT(say(503, "", ""), StartsWith("unavailable"));
  EXPECT_THAT(say(403, "SignatureDoesNotMatch", "It differs.\nhost:h\nx-amz-date:d"),
              Not(HasSubstr("x-amz")));
  EXPECT_THAT(say(403, "SignatureDoesNotMatch", "x-amz-security-token:btok"), Not(HasSubstr("btok")));
  answer = {200, "<html>bsec"};
  EXPECT_THAT(found("role"), AllOf(StartsWith("failed"), Not(HasSubstr("bsec"))));
}

TEST_F(AwsCredentialSources, TheContainerIsAskedInClearOnThisMachineAlone) {
  const auto ask = [this](const std::string& uri) {
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri;
    return found();
  };
  for (const std::string origin :
       {"http://localhost:1", "http://127.1.2.3", "http://[::1]:80", "http://169.254.170.2",
        "http://169.254.170.23", "http://[fd00:ec2::23]"}) {
    local_.answers["GET " + origin + "/v1/c"] = {200, json_answer("C")};
    EXPECT_EQ(ask(origin + "/v1/c?id=1%2F2"), "C sec tok") << origin;
    EXPECT_EQ(local_.sent.back().query, (HttpQuery{{"id", "1/2"}}));
  }
  const std::size_t sent = local_.sent.size();
  for (const std::string uri :
       {"http://example.com/", "http://127.0.0.1.example.com/", "http://127.0.0.1@example.com/",
        "http://169.254.170.3/", "http://[fd00:ec2::24]/", "http://[::ffff:8.8.8.8]/", "ftp://localhost/",
        "localhost"}) {
    EXPECT_THAT(ask(uri), StartsWith("usage")) << uri;
  }
  EXPECT_THAT(local_.sent, SizeIs(sent));
  aws_.answers["GET https://example.com/x"] = {200, json_answer("T")};
  EXPECT_EQ(ask("https://example.com/x"), "T sec tok");
}

TEST_F(AwsCredentialSources, TheContainersTokenIsSentAndNeverSaid) {
  const std::string url = "GET http://169.254.170.23/v1/secret-path";
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/secret-path";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "plain";
  local_.answers[url] = {200, json_answer("C")};
  EXPECT_EQ(found(), "C sec tok");
  EXPECT_EQ(local_.sent.back().header("Authorization"), "plain");
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = file("token", "of-file\n");
  EXPECT_EQ(found(), "C sec tok");
  EXPECT_EQ(local_.sent.back().header("Authorization"), "of-file");
  local_.answers[url] = {403, "no: of-file"};
  EXPECT_THAT(found(), AllOf(StartsWith("failed"), HasSubstr("403"), Not(HasSubstr("of-file")),
                             Not(HasSubstr("secret-path"))));
  local_.answers[url] = {500, "{}"};
  EXPECT_THAT(found(), StartsWith("unavailable"));
  local_.answers[url] = {200, "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"leaked"};
  EXPECT_THAT(found(), AllOf(StartsWith("failed"), Not(HasSubstr("leaked"))));
  local_.answers[url] = {200, "{\"Code\": \"AssumeRoleUnauthorizedAccess\", \"Message\": \"no trust\"}"};
  EXPECT_THAT(found(), HasSubstr("AssumeRoleUnauthorizedAccess: no trust"));
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = file("token", "a\nb");
  EXPECT_THAT(found(), StartsWith("usage"));
  variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "@evil";
  EXPECT_THAT(found(), StartsWith("usage"));
}

TEST_F(AwsCredentialSources, TheInstanceIsAskedTheSecondWay) {
  be_an_instance("I");
  EXPECT_EQ(found(), "I sec tok");
  ASSERT_THAT(local_.sent, SizeIs(3));
  EXPECT_EQ(local_.sent[0].header("X-aws-ec2-metadata-token-ttl-seconds"), "21600");
  EXPECT_EQ(local_.sent[1].header("X-aws-ec2-metadata-token"), "imds");
  EXPECT_EQ(local_.sent[2].header("X-aws-ec2-metadata-token"), "imds");
  const std::string roles = "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/";
  local_.answers[roles + "my-role"] = {500, ""};
  EXPECT_THAT(found(), StartsWith("unavailable"));
  local_.answers[roles] = {200, "../../user-data"};
  EXPECT_THAT(found(), StartsWith("failed"));
  local_.answers[roles] = {404, ""};
  EXPECT_THAT(found(), AllOf(StartsWith("permission"), HasSubstr("has no role")));
  local_.answers["PUT http://169.254.169.254/latest/api/token"] = {403, ""};
  EXPECT_THAT(found(), AllOf(StartsWith("permission"), HasSubstr("gives no token")));
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"] = "IPv6";
  EXPECT_THAT(found(), StartsWith("permission"));
  EXPECT_EQ(local_.sent.back().what, "PUT http://[fd00:ec2::254]/latest/api/token");
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://localhost:7/";
  EXPECT_THAT(found(), StartsWith("permission"));
  EXPECT_EQ(local_.sent.back().what, "PUT http://localhost:7/latest/api/token");
}

TEST_F(AwsCredentialSources, AProcessIsRunWithoutAShell) {
  const std::string json =
      file("json", R"({"Version": 1, "AccessKeyId": "X", "SecretAccessKey": "s", "SessionToken": "t",
                                            "Expiration": "2026-11-21T13:00:00+01:00"})");
  config("[default]\ncredential_process = /bin/cat \"" + json + "\"\n");
  const auto credentials = chain()->credentials().value();
  EXPECT_EQ(told(credentials), "X s t");
  EXPECT_EQ(credentials.expires, parse_rfc3339("2026-11-21T12:00:00Z").value());
  EXPECT_EQ(told(process_aws_credentials(
                R"(printf %s '{"Version": 1, "AccessKeyId": "$HOME", "SecretAccessKey": '"\"a\\\\b\""\})")),
            "$HOME a\\b ");
}

TEST_F(AwsCredentialSources, WhatAProcessDoesWrongIsSaidWithoutWhatItWrote) {
  const auto run = [](const std::string& command) { return told(process_aws_credentials(command)); };
  EXPECT_THAT(run("/bin/sh -c 'echo leaked; echo leaked >&2; exit 3'"),
              AllOf(StartsWith("failed"), HasSubstr("exited with code 3"), Not(HasSubstr("leaked"))));
  EXPECT_THAT(run("echo leaked"), AllOf(StartsWith("failed"), Not(HasSubstr("leaked"))));
  EXPECT_THAT(run(R"(echo '{"Version": 2, "AccessKeyId": "a", "SecretAccessKey": "leaked"}')"),
              AllOf(StartsWith("failed"), HasSubstr("Version"), Not(HasSubstr("leaked"))));
  EXPECT_THAT(run(R"(echo '{"Version": 1, "SecretAccessKey": "leaked"}')"),
              AllOf(StartsWith("failed"), Not(HasSubstr("leaked"))));
  EXPECT_THAT(run("/nowhere/program --key leaked"), AllOf(StartsWith("failed"), Not(HasSubstr("leaked"))));
  EXPECT_THAT(run("head -c 100000 /dev/zero"), AllOf(StartsWith("failed"), HasSubstr("too much")));
  for (const char* bad : {"'leaked", "a leaked\\", "  "}) {
    EXPECT_THAT(run(bad), AllOf(StartsWith("usage"), Not(HasSubstr("leaked"))));
  }
  EXPECT_THAT(told(process_aws_credentials("sleep 1000", std::chrono::milliseconds(20))),
              StartsWith("unavailable"));
}

}  // namespace
}  // namespace pgstrata
