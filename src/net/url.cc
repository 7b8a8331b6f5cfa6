#include "net/url.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::string_view http_scheme = "http://";
constexpr std::string_view https_scheme = "https://";

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::string encode(std::string_view text, std::string_view kept) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (unreserved(c) || kept.find(c) != std::string_view::npos) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += digits[byte >> 4U];
    encoded += digits[byte & 0xFU];
  }
  return encoded;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_host(std::string_view host) {
  if (host.empty()) return false;
  if (host.front() == '[') {
    return host.size() > 2 && host.back() == ']' &&
           host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") ==
               std::string_view::npos;
  }
  return std::ranges::all_of(host, [](char c) { return unreserved(c) && c != '~'; });
}

bool is_port(std::string_view port) {
  if (port.empty() || port.size() > 5) return false;
  int value = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  return value > 0 && value < 65536;
}

}  // namespace

std::string url_encode(std::string_view text) {
  return encode(text, {});
}
std::string url_encode_path(std::string_view path) {
  return encode(path, "/");
}

Result<std::string> url_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return fail(ErrorCode::usage, "\"{}\" has a \"%\" that is not followed by two hexadecimal digits",
                  text);
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::string url_encode_query(HttpQuery query) {
  for (auto& [name, value] : query) {
    name = url_encode(name);
    value = url_encode(value);
  }
  std::ranges::sort(query);
  std::string encoded;
  for (const auto& [name, value] : query) {
    if (!encoded.empty()) encoded += '&';
    encoded += name + '=' + value;
  }
  return encoded;
}

Result<HttpQuery> parse_url_query(std::string_view query) {
  HttpQuery parsed;
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item.empty()) continue;
    const std::size_t equals = std::min(item.find('='), item.size());
    PGS_TRY(std::string name, url_decode(item.substr(0, equals)));
    PGS_TRY(std::string value, url_decode(item.substr(std::min(item.size(), equals + 1))));
    parsed.emplace_back(std::move(name), std::move(value));
  }
  return parsed;
}

Result<std::string> parse_origin(std::string_view url) {
  std::string_view rest = url;
  const std::string_view scheme = rest.starts_with(https_scheme) ? https_scheme : http_scheme;
  if (!rest.starts_with(scheme)) {
    return fail(ErrorCode::usage, "\"{}\" does not begin with http:// or https://", url);
  }
  rest.remove_prefix(scheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t after_host = rest.starts_with('[') ? rest.find(']') : 0;
  const std::size_t colon = std::min(rest.find(':', std::min(after_host, rest.size())), rest.size());
  const std::string_view host = rest.substr(0, colon);
  const bool good_port = colon == rest.size() || is_port(rest.substr(colon + 1));
  if (!is_host(host) || !good_port) {
    return fail(ErrorCode::usage, "\"{}\" is not http:// or https://, a host, and maybe \":\" and a port",
                url);
  }
  return std::string(scheme).append(rest);
}

std::string host_of_origin(std::string_view origin) {
  const bool tls = origin.starts_with(https_scheme);
  std::string_view host = origin.substr((tls ? https_scheme : http_scheme).size());
  const std::string_view usual_port = tls ? ":443" : ":80";
  if (host.ends_with(usual_port)) host.remove_suffix(usual_port.size());
  return std::string(host);
}

}  // namespace pgstrata
