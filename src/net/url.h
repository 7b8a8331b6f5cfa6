// Percent-encoding (RFC 3986), as request signing wants it: everything but A-Z a-z 0-9 - . _ ~ is encoded, with
// upper-case digits.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http_client.h"

namespace pgstrata {

[[nodiscard]] std::string url_encode(std::string_view text);
// The same with "/" kept.
[[nodiscard]] std::string url_encode_path(std::string_view path);
// Error: usage, when a "%" is not followed by two hexadecimal digits.
[[nodiscard]] Result<std::string> url_decode(std::string_view text);

// "a=1&b=2": encoded, sorted by name and value. Empty for no query.
[[nodiscard]] std::string url_encode_query(HttpQuery query);
// "a=1&b" -> {{"a", "1"}, {"b", ""}}. Error: usage.
[[nodiscard]] Result<HttpQuery> parse_url_query(std::string_view query);

// "https://host:port": what HttpRequest::origin takes. The scheme is http or https, the host a name or an address
// (an IPv6 one in brackets); no user, no path but "/". A final "/" is dropped. Error: usage, saying what is wrong.
[[nodiscard]] Result<std::string> parse_origin(std::string_view url);
// "host:port" of an origin, as the header Host has it: without the port that the scheme has anyway.
[[nodiscard]] std::string host_of_origin(std::string_view origin);

}  // namespace pgstrata
