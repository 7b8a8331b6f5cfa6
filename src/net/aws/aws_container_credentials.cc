// Amazon ECS and EKS Pod Identity (AWS SDKs and Tools Reference Guide, "Container credential provider").
#include <algorithm>

#include <arpa/inet.h>

#include "net/aws/aws_credential_sources.h"
#include "net/url.h"

namespace pgstrata {
namespace {

constexpr std::string_view container_is_asked = "AWS credentials of the container";
constexpr std::string_view task_origin = "http://169.254.170.2";

// An address of this machine, or of the agents of ECS and EKS. A name proves nothing, but for "localhost".
bool may_be_asked_in_clear(const std::string& origin) {
  std::string host = origin.substr(std::string_view("http://").size());
  const std::size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  host = host.starts_with('[') ? host.substr(1, end - 1) : host.substr(0, end);
  if (host == "localhost" || host == "169.254.170.2" || host == "169.254.170.23") return true;
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24U) == 127;
  in6_addr six{};
  in6_addr pod_identity{};
  (void)::inet_pton(AF_INET6, "fd00:ec2::23", &pod_identity);
  return ::inet_pton(AF_INET6, host.c_str(), &six) == 1 &&
         (IN6_IS_ADDR_LOOPBACK(&six) || IN6_ARE_ADDR_EQUAL(&six, &pod_identity));
}

// The path may be all that guards the credentials: no message has it.
Result<HttpRequest> container_request(std::string_view url) {
  const std::size_t host = url.find("://");
  const std::size_t path = url.find_first_of("/?", host == std::string_view::npos ? 0 : host + 3);
  HttpRequest request{.origin = {},
                      .path = "/",
                      .query = {},
                      .headers = {{"Accept", "application/json"}},
                      .body = {},
                      .into = {}};
  auto origin = parse_origin(url.substr(0, path));
  if (!origin.has_value()) {
    return fail(ErrorCode::usage, "AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL of http or https");
  }
  request.origin = *std::move(origin);
  if (path == std::string_view::npos) return request;
  const std::string_view rest = url.substr(path, url.find('#', path) - path);
  const std::size_t query = std::min(rest.find('?'), rest.size());
  if (query > 0) request.path = rest.substr(0, query);
  auto parsed = parse_url_query(rest.substr(std::min(rest.size(), query + 1)));
  if (!parsed.has_value())
    return fail(ErrorCode::usage, "the query of the container's URI is not well encoded");
  request.query = *std::move(parsed);
  return request;
}

Result<std::string> container_token(const AwsSettings& settings) {
  std::string token = settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").value_or("");
  if (const auto file = settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    PGS_TRY(token, read_aws_token(*file).context("read the container's token"));
  }
  if (std::ranges::any_of(token, [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
    return fail(ErrorCode::usage,
                "the container's authorization token is no header: it has more than one line");
  }
  return token;
}

}  // namespace

FoundAwsCredentials container_aws_credentials(const AwsCredentialSearch& search) {
  const auto relative = search.settings.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const auto full = search.settings.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (!relative && !full) {
    search.absent.emplace_back("AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
    return std::nullopt;
  }
  if (relative && !relative->starts_with('/')) {
    return fail(ErrorCode::usage, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with \"/\"");
  }
  PGS_TRY(HttpRequest request, container_request(relative ? std::string(task_origin) + *relative : *full));
  const bool tls = request.origin.starts_with("https://");
  if (!tls && !may_be_asked_in_clear(request.origin)) {
    return std::unexpected(make_error(ErrorCode::usage,
                                      "AWS_CONTAINER_CREDENTIALS_FULL_URI asks {} in clear text",
                                      request.origin)
                               .with_hint("Only this machine, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 "
                                          "may be asked without https."));
  }
  PGS_TRY(const std::string token, container_token(search.settings));
  if (!token.empty()) request.headers.push_back({"Authorization", token});
  HttpClient& client = tls ? search.clients.aws : search.clients.local;
  PGS_TRY(const HttpAnswer answer, ask_for_aws_credentials(client, request, container_is_asked));
  if (!answer.ok()) {
    return fail(error_code_of_http_status(answer.status), "{}: {} answers {} {}", container_is_asked,
                request.origin, answer.status, safe_to_say(as_text(answer.body), {token}));
  }
  PGS_TRY(AwsCredentials credentials,
          parse_aws_credentials_json(as_text(answer.body), "Token", container_is_asked));
  return credentials;
}

}  // namespace pgstrata
