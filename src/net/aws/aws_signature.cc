#include "net/aws/aws_signature.h"

#include <algorithm>

#include "codec/digest.h"
#include "net/url.h"

namespace pgstrata {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// Without space at both ends, and with one for each run of it within.
std::string trimmed(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == ' ' && (text.empty() || text.back() == ' ')) continue;
    text += c;
  }
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

struct CanonicalHeaders {
  std::string lines;         // "host:...\n"
  std::string signed_names;  // "host;x-amz-date"
};

CanonicalHeaders canonical_headers(const std::vector<HttpHeader>& headers) {
  std::vector<std::pair<std::string, std::string>> sorted;
  for (const auto& [name, value] : headers) sorted.emplace_back(lower(name), trimmed(value));
  std::ranges::sort(sorted);
  CanonicalHeaders canonical;
  for (const auto& [name, value] : sorted) {
    canonical.lines += name + ":" + value + "\n";
    if (!canonical.signed_names.empty()) canonical.signed_names += ';';
    canonical.signed_names += name;
  }
  return canonical;
}

// "20130524T000000Z"
std::string basic_time(Timestamp time) {
  const std::string whole = to_rfc3339(time);  // 2013-05-24T00:00:00.123456Z
  std::string basic;
  for (const char c : whole.substr(0, whole.find_first_of(".Z"))) {
    if (c != '-' && c != ':') basic += c;
  }
  return basic + "Z";
}

std::string hex_digest(std::string_view text) {
  return to_hex(sha256(as_byte_view(text)));
}

}  // namespace

void sign_aws_request(HttpRequest& request, const AwsCredentials& credentials, const AwsSigningScope& scope,
                      const std::string& payload_sha256) {
  const std::string time = basic_time(scope.time);
  const std::string day = time.substr(0, 8);
  request.headers.push_back({"Host", host_of_origin(request.origin)});
  request.headers.push_back({"X-Amz-Date", time});
  request.headers.push_back({"X-Amz-Content-SHA256", payload_sha256});
  if (!credentials.session_token.empty()) {
    request.headers.push_back({"X-Amz-Security-Token", credentials.session_token});
  }

  const CanonicalHeaders headers = canonical_headers(request.headers);
  const std::string canonical_request =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, url_encode_query(request.query),
                  headers.lines, headers.signed_names, payload_sha256);
  const std::string place = fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", algorithm, time, place, hex_digest(canonical_request));

  const std::string first_key = "AWS4" + credentials.secret_access_key;
  Sha256 key = hmac_sha256(as_byte_view(first_key), as_byte_view(day));
  for (const std::string_view part : {std::string_view(scope.region), std::string_view(scope.service),
                                      std::string_view("aws4_request"), std::string_view(to_sign)}) {
    key = hmac_sha256(key, as_byte_view(part));
  }
  request.headers.push_back(
      {"Authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", algorithm,
                                    credentials.access_key_id, place, headers.signed_names, to_hex(key))});
}

}  // namespace pgstrata
