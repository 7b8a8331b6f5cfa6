// Amazon EC2's metadata service, version 2 (EC2 User Guide, "Retrieve security credentials from instance metadata").
#include <algorithm>

#include "net/aws/aws_credential_sources.h"
#include "net/aws/aws_profile_file.h"
#include "net/url.h"

namespace pgstrata {
namespace {

constexpr std::string_view instance_is_asked = "AWS credentials of the EC2 instance";
constexpr std::string_view roles_path = "/latest/meta-data/iam/security-credentials/";
constexpr const char* token_lifetime_seconds = "21600";

Result<std::string> metadata_origin(const AwsSettings& settings) {
  const auto mode = settings.variable_or_setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                                 "ec2_metadata_service_endpoint_mode");
  const char* usual =
      mode && ascii_lower(*mode) == "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  const auto set =
      settings.variable_or_setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
  return parse_origin(set.value_or(usual)).context("address of the EC2 metadata service");
}

bool is_role_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+=,.@_-").find(c) != std::string_view::npos;
  });
}

Error metadata_refusal(int status, std::string_view what) {
  return make_error(error_code_of_http_status(status), "{}: the metadata service answers {} to {}",
                    instance_is_asked, status, what);
}

}  // namespace

FoundAwsCredentials instance_aws_credentials(const AwsCredentialSearch& search) {
  const auto none = [&search](std::string_view why) -> FoundAwsCredentials {
    search.absent.emplace_back(why);
    return std::nullopt;
  };
  if (ascii_lower(search.settings.variable("AWS_EC2_METADATA_DISABLED").value_or("")) == "true") {
    return none("AWS_EC2_METADATA_DISABLED is true");
  }
  PGS_TRY(const std::string origin, metadata_origin(search.settings));
  const auto ask = [&](const char* method, std::string path, HttpHeader header) {
    const HttpRequest request{.method = method,
                              .origin = origin,
                              .path = std::move(path),
                              .query = {},
                              .headers = {std::move(header)},
                              .body = {},
                              .into = {}};
    return ask_for_aws_credentials(search.clients.local, request, instance_is_asked);
  };

  const auto token =
      ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds", token_lifetime_seconds});
  // No answer is what a machine sees that is no instance.
  if (!token.has_value()) return none("no EC2 metadata service answers");
  if (token->status == 403 || token->status == 404 || token->status == 405) {
    return none(fmt::format("the EC2 metadata service gives no token ({})", token->status));
  }
  if (!token->ok()) return std::unexpected(metadata_refusal(token->status, "the request for a token"));
  const HttpHeader with_token{"X-aws-ec2-metadata-token", std::string(as_text(token->body))};

  PGS_TRY(const HttpAnswer roles, ask("GET", std::string(roles_path), with_token));
  if (roles.status == 404) return none("the EC2 instance has no role");
  if (!roles.ok()) return std::unexpected(metadata_refusal(roles.status, "the request for its role"));
  const std::string_view lines = as_text(roles.body);
  const std::string_view role = lines.substr(0, lines.find_first_of("\r\n"));
  if (!is_role_name(role))
    return fail(ErrorCode::failed, "{}: the metadata service names no role", instance_is_asked);

  PGS_TRY(const HttpAnswer answer, ask("GET", std::string(roles_path).append(role), with_token));
  if (!answer.ok()) return std::unexpected(metadata_refusal(answer.status, "the request for credentials"));
  PGS_TRY(AwsCredentials credentials,
          parse_aws_credentials_json(as_text(answer.body), "Token", instance_is_asked));
  return credentials;
}

}  // namespace pgstrata
