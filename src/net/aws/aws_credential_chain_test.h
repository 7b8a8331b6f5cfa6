// A machine on which nothing is AWS' but what a test says.
#pragma once

#include <atomic>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/aws/aws_credential_sources.h"
#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {

struct SentRequest {
  std::string what;  // "GET http://host/path"
  HttpQuery query;
  std::vector<HttpHeader> headers;
  std::string body;

  [[nodiscard]] std::string header(std::string_view name) const {
    for (const auto& header : headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }
};

class ScriptedHttpClient final : public HttpClient {
 public:
  struct Answer {
    int status = 200;
    std::string body;
  };

  // What is not listed does not answer.
  Result<HttpAnswer> send(const HttpRequest& request) override {
    sent.push_back({.what = request.method + " " + request.origin + request.path,
                    .query = request.query,
                    .headers = request.headers,
                    .body = std::string(as_text(request.body))});
    if (on_send) on_send();
    const auto found = answers.find(sent.back().what);
    if (found == answers.end()) return fail(ErrorCode::unavailable, "no answer from {}", request.origin);
    HttpAnswer answer;
    answer.status = found->second.status;
    answer.body = to_bytes(found->second.body);
    answer.size_bytes = answer.body.size();
    return answer;
  }

  std::map<std::string, Answer> answers;
  std::vector<SentRequest> sent;
  std::function<void()> on_send;
};

class StandingClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return {start_micros + passed_.load()}; }
  [[nodiscard]] SteadyTime steady() const override {
    return SteadyTime(std::chrono::hours(1) + std::chrono::microseconds(passed_.load()));
  }
  void pass(std::chrono::microseconds span) { passed_ += span.count(); }

 private:
  static constexpr std::int64_t start_micros = 1'795'255'200'000'000;  // 2026-11-21 10:00 UTC
  std::atomic<std::int64_t> passed_{0};
};

class AwsCredentialChainTest : public testing::Test {
 protected:
  void SetUp() override { config(""); }

  void config(std::string_view text) {
    ASSERT_TRUE(write_file(folder_.path() / "config", as_byte_view(text)).has_value());
  }
  std::string file(const std::string& name, std::string_view text) {
    EXPECT_TRUE(write_file(folder_.path() / name, as_byte_view(text)).has_value());
    return folder_.path() / name;
  }
  std::unique_ptr<AwsCredentialSource> chain(const std::string& profile = "") {
    const auto lookup = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    return make_aws_credential_chain(AwsSettings::load(lookup, profile).value(),
                                     {.aws = aws_, .local = local_}, clock_);
  }
  // "ID SECRET TOKEN", or the error's code and text.
  std::string found(const std::string& profile = "") { return told(chain(profile)->credentials()); }
  static std::string told(const Result<AwsCredentials>& result) {
    if (!result.has_value()) {
      return fmt::format("{}: {} {}", to_string(result.error().code()), result.error().describe(),
                         result.error().hint());
    }
    return fmt::format("{} {} {}", result->access_key_id, result->secret_access_key, result->session_token);
  }
  static std::string sts_answer(std::string_view id, std::string_view expires = "2026-11-21T11:00:00.000Z") {
    return fmt::format(
        "<AssumeRoleResponse "
        "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser><Arn>"
        "arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser><Credentials><AccessKeyId>{}</AccessKeyId>"
        "<SecretAccessKey>sec</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>{}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>",
        id, expires);
  }
  static std::string json_answer(std::string_view id, std::string_view expires = "2026-11-21T11:00:00Z") {
    return fmt::format(
        "{{\"Code\": \"Success\", \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"sec\", \"Token\": \"tok\", "
        "\"Expiration\": \"{}\"}}",
        id, expires);
  }
  void be_an_instance(std::string_view id, std::string_view expires = "2026-11-21T11:00:00Z") {
    local_.answers["PUT http://169.254.169.254/latest/api/token"] = {200, "imds"};
    local_.answers["GET http://169.254.169.254/latest/meta-data/iam/security-credentials/"] = {200,
                                                                                               "my-role\n"};
    local_.answers["GET http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role"] = {
        200, json_answer(id, expires)};
  }

  TemporaryDirectory folder_ = TemporaryDirectory::create("pgstrata-aws-").value();
  std::map<std::string, std::string> variables_{{"AWS_CONFIG_FILE", folder_.path() / "config"},
                                                {"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
                                                {"HOME", "/nowhere"}};
  ScriptedHttpClient aws_;
  ScriptedHttpClient local_;
  StandingClock clock_;
};

}  // namespace pgstrata
