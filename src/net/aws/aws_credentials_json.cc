#include <algorithm>
#include <nlohmann/json.hpp>

#include "net/aws/aws_credential_sources.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t aws_token_max_bytes = 64U << 10;

std::string json_text(const nlohmann::json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

ErrorCode error_code_of_http_status(int status) {
  return status >= 500 || status == 429 || status == 408 ? ErrorCode::unavailable : ErrorCode::failed;
}

Result<HttpAnswer> ask_for_aws_credentials(HttpClient& client, const HttpRequest& request,
                                           std::string_view who) {
  auto answer = client.send(request);
  if (!answer.has_value() && answer.error().code() == ErrorCode::damaged) {
    // Said anew: a container's path may be a secret.
    return fail(ErrorCode::failed, "{}: the answer is too long", who);
  }
  return std::move(answer).context(who);
}

Result<std::string> read_aws_token(const std::string& file) {
  const auto content = read_file(file, aws_token_max_bytes);
  if (!content.has_value()) {
    const bool forbidden = content.error().code() == ErrorCode::permission;
    return fail(forbidden ? ErrorCode::permission : ErrorCode::failed, "{}", content.error().describe());
  }
  std::string token(as_text(*content));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  if (token.empty()) return fail(ErrorCode::failed, "the token in \"{}\" is empty", file);
  return token;
}

std::string safe_to_say(std::string_view said, std::initializer_list<std::string_view> secrets) {
  constexpr std::size_t longest = 300;
  const auto told = [said](std::string_view secret) {
    return !secret.empty() && said.find(secret) != std::string_view::npos;
  };
  if (std::ranges::any_of(secrets, told)) return {};
  // A canonical request, token and all, comes on the lines after the first.
  std::string text(said.substr(0, std::min(said.find_first_of("\r\n"), longest)));
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < ' '; });
  return text;
}

// What the parser says of bad JSON quotes it: not said here.
Result<AwsCredentials> parse_aws_credentials_json(std::string_view text, const char* token_field,
                                                  std::string_view who) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::failed, "{}: what it gave is no JSON object", who);
  AwsCredentials credentials{.access_key_id = json_text(json, "AccessKeyId"),
                             .secret_access_key = json_text(json, "SecretAccessKey"),
                             .session_token = json_text(json, token_field),
                             .expires = {}};
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    std::string why = json_text(json, "Code") + json_text(json, "code");
    const std::string message = json_text(json, "Message") + json_text(json, "message");
    if (!message.empty()) why += (why.empty() ? "" : ": ") + message;
    if (why.empty()) return fail(ErrorCode::failed, "{}: it gave no AccessKeyId and SecretAccessKey", who);
    return fail(ErrorCode::failed, "{}: {}", who,
                safe_to_say(why, {credentials.secret_access_key, credentials.session_token}));
  }
  if (const std::string expires = json_text(json, "Expiration"); !expires.empty()) {
    const auto moment = parse_rfc3339(expires);
    if (!moment.has_value()) return fail(ErrorCode::failed, "{}: its Expiration is no time", who);
    credentials.expires = *moment;
  }
  return credentials;
}

}  // namespace pgstrata
