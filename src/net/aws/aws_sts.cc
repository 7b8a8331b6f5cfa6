// Roles, by way of the Security Token Service (AWS STS API Reference, version 2011-06-15).
#include <algorithm>
#include <array>
#include <pugixml.hpp>

#include "codec/digest.h"
#include "net/aws/aws_credential_sources.h"
#include "net/url.h"

namespace pgstrata {
namespace {

constexpr std::string_view sts_is_asked = "ask AWS STS for a role";

struct StsPlace {
  std::string origin;
  std::string region;  // to sign for
};

Result<StsPlace> sts_place(const AwsSettings& settings) {
  const auto region = settings.region();
  const bool global = !region || *region == "aws-global";
  std::string url = "https://sts.amazonaws.com";
  if (!global) {
    url = fmt::format("https://sts.{}.amazonaws.com{}", *region, region->starts_with("cn-") ? ".cn" : "");
  }
  auto origin = parse_origin(settings.endpoint("STS").value_or(url));
  PGS_TRY(std::string parsed, std::move(origin).context("address of AWS STS"));
  return StsPlace{.origin = std::move(parsed), .region = global ? "us-east-1" : *region};
}

pugi::xml_node find_node(const pugi::xml_document& document, std::string_view name) {
  return document.find_node([name](const pugi::xml_node& node) { return name == node.name(); });
}

Error sts_refusal(const HttpAnswer& answer, std::string_view role,
                  std::initializer_list<std::string_view> secrets) {
  constexpr std::array worth_another_try = {"Throttling", "ThrottlingException", "RequestLimitExceeded",
                                            "IDPCommunicationError", "ServiceUnavailable"};
  pugi::xml_document document;
  (void)document.load_buffer(answer.body.data(), answer.body.size());
  const pugi::xml_node said = find_node(document, "Error");
  const std::string code = safe_to_say(said.child_value("Code"), secrets);
  const std::string message = safe_to_say(said.child_value("Message"), secrets);
  const bool later = std::ranges::find(worth_another_try, code) != worth_another_try.end();
  return make_error(later ? ErrorCode::unavailable : error_code_of_http_status(answer.status),
                    "AWS STS does not give the role {}: {} {}{}{}", role, answer.status, code,
                    message.empty() ? "" : ": ", message);
}

Result<AwsCredentials> parse_sts_answer(const HttpAnswer& answer) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(answer.body.data(), answer.body.size());
  const pugi::xml_node node = find_node(document, "Credentials");
  AwsCredentials credentials{.access_key_id = node.child_value("AccessKeyId"),
                             .secret_access_key = node.child_value("SecretAccessKey"),
                             .session_token = node.child_value("SessionToken"),
                             .expires = {}};
  const auto expires = parse_rfc3339(node.child_value("Expiration"));
  if (!parsed || credentials.access_key_id.empty() || credentials.secret_access_key.empty() ||
      credentials.session_token.empty() || !expires.has_value()) {
    return fail(ErrorCode::failed, "AWS STS answers with what are no credentials");
  }
  credentials.expires = *expires;
  return credentials;
}

HttpQuery sts_form(const char* action, const AwsRole& role) {
  HttpQuery form{{"Action", action},
                 {"Version", "2011-06-15"},
                 {"RoleArn", role.arn},
                 {"RoleSessionName", role.session_name}};
  if (!role.external_id.empty()) form.emplace_back("ExternalId", role.external_id);
  if (!role.duration_seconds.empty()) form.emplace_back("DurationSeconds", role.duration_seconds);
  return form;
}

HttpRequest sts_request(const StsPlace& place, const std::string& body) {
  return {.method = "POST",
          .origin = place.origin,
          .path = "/",
          .query = {},
          .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
          .body = as_byte_view(body),
          .into = {}};
}

}  // namespace

Result<AwsCredentials> assume_aws_role(const AwsCredentialSearch& search, const AwsRole& role,
                                       const AwsCredentials& source) {
  PGS_TRY(const StsPlace place, sts_place(search.settings));
  const std::string body = url_encode_query(sts_form("AssumeRole", role));
  HttpRequest request = sts_request(place, body);
  sign_aws_request(request, source, {.region = place.region, .service = "sts", .time = search.clock.now()},
                   to_hex(sha256(request.body)));
  PGS_TRY(const HttpAnswer answer, ask_for_aws_credentials(search.clients.aws, request, sts_is_asked));
  if (answer.ok()) return parse_sts_answer(answer);
  return std::unexpected(
      sts_refusal(answer, role.arn, {source.secret_access_key, source.session_token, role.external_id}));
}

Result<AwsCredentials> assume_aws_role_with_web_identity(const AwsCredentialSearch& search,
                                                         const AwsRole& role, const std::string& token_file) {
  PGS_TRY(const std::string token, read_aws_token(token_file).context("read the web identity token"));
  PGS_TRY(const StsPlace place, sts_place(search.settings));
  HttpQuery form = sts_form("AssumeRoleWithWebIdentity", role);
  form.emplace_back("WebIdentityToken", token);
  const std::string body = url_encode_query(std::move(form));
  PGS_TRY(const HttpAnswer answer,
          ask_for_aws_credentials(search.clients.aws, sts_request(place, body), sts_is_asked));
  if (answer.ok()) return parse_sts_answer(answer);
  return std::unexpected(sts_refusal(answer, role.arn, {token}));
}

}  // namespace pgstrata
