#include "net/http_client.h"

#include <algorithm>
#include <mutex>

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/url.h"
#include "sys/files.h"

namespace pgstrata {

std::string_view HttpAnswer::header(std::string_view lower_case_name) const {
  const auto found = std::ranges::find(headers, lower_case_name, &HttpHeader::name);
  return found == headers.end() ? std::string_view() : std::string_view(found->value);
}

namespace {

constexpr std::size_t ca_file_limit_bytes = 16U << 20;

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyDeleter>;

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// libcurl wants to be told once, before any thread of ours uses it.
bool start_libcurl() {
  static const bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return started;
}

// One request as libcurl's callbacks see it. None of them throws.
struct Exchange {
  explicit Exchange(const HttpRequest& sent) : request(sent), unsent(sent.body) {}

  const HttpRequest& request;
  ByteView unsent;
  HttpAnswer answer;
  bool too_large = false;

  void begin_answer(std::string_view status_line) {
    // Also after a "100 Continue".
    answer = {};
    const std::size_t space = status_line.find(' ');
    for (std::size_t i = space + 1;
         space != std::string_view::npos && i < status_line.size() && i < space + 4; ++i) {
      answer.status = answer.status * 10 + (status_line[i] - '0');
    }
  }
  void add_header(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    HttpHeader header{.name = std::string(line.substr(0, colon)), .value = {}};
    std::ranges::transform(header.name, header.name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    std::string_view value = line.substr(colon + 1);
    const std::size_t first = value.find_first_not_of(" \t");
    value = first == std::string_view::npos ? std::string_view() : value.substr(first);
    value = value.substr(0, value.find_last_not_of(" \t\r\n") + 1);
    header.value = value;
    answer.headers.push_back(std::move(header));
  }
  bool add_body(ByteView bytes) {
    const bool placed = !request.into.empty() && answer.ok();
    const std::uint64_t limit = placed ? request.into.size() : request.body_limit_bytes;
    if (bytes.size() > limit - answer.size_bytes) {
      too_large = true;
      return false;
    }
    if (placed) {
      std::ranges::copy(bytes, request.into.begin() + static_cast<std::ptrdiff_t>(answer.size_bytes));
    } else {
      append(answer.body, bytes);
    }
    answer.size_bytes += bytes.size();
    return true;
  }
};

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* exchange) noexcept {
  const std::string_view line(data, size * count);
  auto& state = *static_cast<Exchange*>(exchange);
  if (line.starts_with("HTTP/")) {
    state.begin_answer(line);
  } else {
    state.add_header(line);
  }
  return line.size();
}

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* exchange) noexcept {
  const ByteView bytes = std::as_bytes(std::span(data, size * count));
  return static_cast<Exchange*>(exchange)->add_body(bytes) ? bytes.size() : 0;
}

std::size_t give_body(char* into, std::size_t size, std::size_t count, void* exchange) noexcept {
  auto& unsent = static_cast<Exchange*>(exchange)->unsent;
  const ByteView part = unsent.first(std::min(unsent.size(), size * count));
  std::ranges::copy(part, std::as_writable_bytes(std::span(into, part.size())).begin());
  unsent = unsent.subspan(part.size());
  return part.size();
}

// libcurl begins anew by itself where a kept connection had gone before anything was answered.
int rewind_body(void* exchange, curl_off_t offset, int origin) noexcept {
  auto& state = *static_cast<Exchange*>(exchange);
  if (origin != SEEK_SET || offset < 0 || static_cast<std::size_t>(offset) > state.request.body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  state.unsent = state.request.body.subspan(static_cast<std::size_t>(offset));
  return CURL_SEEKFUNC_OK;
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    // What came begins like no HTTP: as when a server sends the end of a body after an answer to HEAD, which has none
    // (Swift's s3api), and a kept connection begins its next answer with that. On another one it is in order.
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UPLOAD_FAILED:
      return ErrorCode::unavailable;
    default:
      return ErrorCode::failed;
  }
}

std::string_view hint_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "Is the name right, and does this machine reach its name server?";
    case CURLE_COULDNT_CONNECT:
      return "Is the address right, and does a firewall or proxy let it through?";
    case CURLE_PEER_FAILED_VERIFICATION:
      return "Its certificate is signed by nobody this machine trusts, or is another host's. A CA of your "
             "own is named with ca=FILE in the repository's URL.";
    case CURLE_SSL_CACERT_BADFILE:
      return "The CA file has to hold certificates in PEM form.";
    default:
      return {};
  }
}

class CurlHttpClient : public HttpClient {
 public:
  explicit CurlHttpClient(HttpClientOptions options) : options_(std::move(options)) {}

  Result<HttpAnswer> send(const HttpRequest& request) override;

 private:
  EasyHandle take_handle();
  void give_back(EasyHandle handle);
  void set_up(CURL* handle, Exchange& exchange, const std::string& url, curl_slist* headers) const;

  const HttpClientOptions options_;
  std::mutex mutex_;
  std::vector<EasyHandle> idle_;  // guarded by mutex_; each keeps its connections
};

EasyHandle CurlHttpClient::take_handle() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return EasyHandle(curl_easy_init());
  EasyHandle handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void CurlHttpClient::give_back(EasyHandle handle) {
  curl_easy_reset(handle.get());
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(handle));
}

template <class Value>
void set(CURL* handle, CURLoption option, Value value) {
  // Fails only for options that this libcurl does not know, or for want of memory.
  PGS_ASSERT(curl_easy_setopt(handle, option, value) == CURLE_OK);
}

// The kernel would go on trying to deliver what was sent for minutes, also after the connection was closed.
int limit_delivery(void* given, curl_socket_t socket, curlsocktype) {
  const auto* options = static_cast<const HttpClientOptions*>(given);
  const auto limit_ms = static_cast<unsigned>(options->delivery_limit.count());
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms));
  return CURL_SOCKOPT_OK;
}

void CurlHttpClient::set_up(CURL* handle, Exchange& exchange, const std::string& url,
                            curl_slist* headers) const {
  const HttpRequest& request = exchange.request;
  set(handle, CURLOPT_URL, url.c_str());
  set(handle, CURLOPT_PATH_AS_IS, 1L);
  set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(handle, CURLOPT_HTTPHEADER, headers);
  set(handle, CURLOPT_USERAGENT, "pgstrata");
  set(handle, CURLOPT_NOSIGNAL, 1L);
  set(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  set(handle, CURLOPT_SOCKOPTFUNCTION, limit_delivery);
  set(handle, CURLOPT_SOCKOPTDATA, static_cast<const void*>(&options_));
  set(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_limit.count()));
  set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.silence_limit.count()));
  set(handle, CURLOPT_BUFFERSIZE, 512L << 10);
  set(handle, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
  if (options_.past_proxies) set(handle, CURLOPT_PROXY, "");
  if (!options_.ca_file.empty()) {
    set(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
    // Debian's libcurl would go on trusting what is in /etc/ssl/certs as well.
    set(handle, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  set(handle, CURLOPT_HEADERFUNCTION, take_header);
  set(handle, CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
  set(handle, CURLOPT_WRITEFUNCTION, take_body);
  set(handle, CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
  if (request.method == "HEAD") {
    set(handle, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    set(handle, CURLOPT_UPLOAD, 1L);
    set(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(handle, CURLOPT_READFUNCTION, give_body);
    set(handle, CURLOPT_READDATA, static_cast<void*>(&exchange));
    set(handle, CURLOPT_SEEKFUNCTION, rewind_body);
    set(handle, CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
  }
  set(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

Result<HttpAnswer> CurlHttpClient::send(const HttpRequest& request) {
  EasyHandle handle = take_handle();
  if (!handle) return fail(ErrorCode::failed, "libcurl could not be started");
  std::string url = request.origin + request.path;
  if (!request.query.empty()) url += "?" + url_encode_query(request.query);

  std::unique_ptr<curl_slist, ListDeleter> headers;
  const auto add = [&headers](const std::string& line) {
    curl_slist* longer = curl_slist_append(headers.get(), line.c_str());
    PGS_ASSERT(longer != nullptr);
    static_cast<void>(headers.release());
    headers.reset(longer);
  };
  // No waiting for a "100 Continue", and no type that nobody gave.
  add("Expect:");
  add("Content-Type:");
  for (const auto& [name, value] : request.headers) add(value.empty() ? name + ";" : name + ": " + value);

  Exchange exchange(request);
  set_up(handle.get(), exchange, url, headers.get());
  const CURLcode done = curl_easy_perform(handle.get());
  // After a failure a handle may not take all options again (no CURLOPT_BUFFERSIZE after a name that was not found).
  if (done == CURLE_OK) give_back(std::move(handle));
  if (exchange.too_large) {
    return fail(ErrorCode::damaged, "the answer of {}{} is larger than it can be", request.origin,
                request.path);
  }
  if (done != CURLE_OK) {
    return std::unexpected(
        make_error(code_of(done), "no answer from {}: {}", request.origin, curl_easy_strerror(done))
            .with_hint(std::string(hint_of(done))));
  }
  return std::move(exchange.answer);
}

}  // namespace

Timestamp parse_http_date(const std::string& text) {
  constexpr std::int64_t micros_per_second = 1'000'000;
  const time_t seconds = curl_getdate(text.c_str(), nullptr);
  return seconds <= 0 ? Timestamp() : Timestamp{seconds * micros_per_second};
}

Result<std::unique_ptr<HttpClient>> HttpClient::create(HttpClientOptions options) {
  if (!start_libcurl()) return fail(ErrorCode::failed, "libcurl could not be started");
  if (!options.ca_file.empty()) {
    PGS_CHECK(read_file(options.ca_file, ca_file_limit_bytes));
  }
  return std::unique_ptr<HttpClient>(std::make_unique<CurlHttpClient>(std::move(options)));
}

}  // namespace pgstrata
