// HTTP/1.1 requests, over TLS where the origin says https. libcurl does the work.
//
// Connections are kept and used again. Certificates are verified. The variables http_proxy, https_proxy and
// no_proxy count, as for other programs. Nothing is sent twice: whoever knows that a request may be repeated
// does so.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"

namespace pgstrata {

struct HttpHeader {
  std::string name;
  std::string value;
};

using HttpQuery = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string origin = {};  // "https://host" or "http://host:port"
  std::string path = {};    // from "/" on, percent-encoded (net/url.h)
  HttpQuery query = {};     // not encoded
  std::vector<HttpHeader> headers = {};
  ByteView body = {};  // borrowed for the call
  // Where the body of an answer of 2xx goes, when this is not empty: HttpAnswer::size_bytes says how much it was.
  MutableByteView into = {};
  // Of a body that goes to HttpAnswer::body.
  std::uint64_t body_limit_bytes = 1U << 20;
};

struct HttpAnswer {
  int status = 0;
  std::vector<HttpHeader> headers;  // names in lower case
  Bytes body;                       // what did not go to HttpRequest::into
  std::uint64_t size_bytes = 0;     // of the body, wherever it went

  // Empty where there is none.
  [[nodiscard]] std::string_view header(std::string_view lower_case_name) const;
  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
};

// "Sun, 06 Nov 1994 08:49:37 GMT", as in the header Date; invalid where it is none.
[[nodiscard]] Timestamp parse_http_date(const std::string& text);

struct HttpClientOptions {
  std::chrono::milliseconds connect_limit = std::chrono::seconds(10);
  // Nothing sent and nothing received for that long: the request is given up.
  std::chrono::seconds silence_limit{20};
  // The other machine does not even acknowledge that it got what was sent: the connection is given up, and nothing of
  // the request arrives later.
  std::chrono::milliseconds delivery_limit = std::chrono::seconds(5);
  std::string ca_file = {};   // PEM; empty: the system's
  bool past_proxies = false;  // whatever the variables say: for addresses of this machine
};

// Thread-safe; as many requests at once as there are threads that make them.
class HttpClient {
 public:
  // Errors: not_found and the like, when the CA file cannot be read.
  static Result<std::unique_ptr<HttpClient>> create(HttpClientOptions options = {});
  virtual ~HttpClient() = default;

  // An answer, whatever its status. Errors: unavailable (no connection, no answer, one that was cut off;
  // another try may help, and the server may have done it); damaged, when the body is larger than its limit
  // or than `into`; failed (the certificate is not right, and all else that another try does not change).
  virtual Result<HttpAnswer> send(const HttpRequest& request) = 0;
};

}  // namespace pgstrata
