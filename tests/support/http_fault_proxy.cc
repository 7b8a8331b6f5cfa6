#include "support/http_fault_proxy.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr std::size_t head_limit = 65536;
constexpr std::size_t kept_answer_limit = 1048576;
constexpr std::uint64_t no_cut = UINT64_MAX;
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

sockaddr_in ipv4_address(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    throw TestFailure(fmt::format("{} is no IPv4 address", host));
  return address;
}

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string s3_error(const HttpFault& fault) {
  auto body = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>A test wants it.</Message>"
      "<RequestId>of-a-test</RequestId></Error>",
      fault.code);
  if (!fault.body.empty()) body = fault.body;
  return fmt::format("HTTP/1.1 {} Fault\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n{}\r\n",
                     fault.status, body.size(), fault.more_headers) +
         body;
}

}  // namespace

// The head of a request or of an answer, with the empty line that ends it.
struct HttpFaultProxy::Head {
  std::string text{};

  [[nodiscard]] std::string_view header(std::string_view name) const {
    std::string_view rest = text;
    for (auto end = rest.find("\r\n"); end != std::string_view::npos; end = rest.find("\r\n")) {
      const auto line = rest.substr(0, end);
      rest.remove_prefix(end + 2);
      const auto colon = line.find(':');
      if (colon == std::string_view::npos || !equal_in_any_case(line.substr(0, colon), name)) continue;
      const auto start = line.find_first_not_of(" \t", colon + 1);
      return start == std::string_view::npos ? std::string_view() : line.substr(start);
    }
    return {};
  }
  // Of the first line, which has three.
  [[nodiscard]] std::string word(int index) const {
    std::string_view line = std::string_view(text).substr(0, text.find("\r\n"));
    for (; index > 0; --index) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    return std::string(line.substr(0, line.find(' ')));
  }
  [[nodiscard]] int status() const { return std::atoi(word(1).c_str()); }
  [[nodiscard]] bool chunked() const { return equal_in_any_case(header("Transfer-Encoding"), "chunked"); }
  [[nodiscard]] bool closes() const { return equal_in_any_case(header("Connection"), "close"); }
};

// One socket, and what has been read from it ahead of time. Whatever it does not get or give for the other side
// being gone it says by false.
class HttpFaultProxy::Connection {
 public:
  Connection(HttpFaultProxy& proxy, int socket, std::uint64_t& counter)
      : proxy_(proxy), socket_(socket), sent_(counter) {
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::scoped_lock lock(proxy_.mutex_);
    proxy_.sockets_.insert(socket_);
    if (proxy_.ending_) ::shutdown(socket_, SHUT_RDWR);
  }
  ~Connection() {
    const std::scoped_lock lock(proxy_.mutex_);
    proxy_.sockets_.erase(socket_);
    ::close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // To be closed after that: the other side is told of a reset then, and nothing more comes from it.
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    was_reset_ = true;
  }
  [[nodiscard]] bool closed_by_peer() const {
    pollfd waited{socket_, POLLIN | POLLRDHUP, 0};
    return ::poll(&waited, 1, 0) != 0;
  }
  void read_until_closed() {
    while (fill()) ahead_.clear();
  }

  bool read_head(Head& head) {
    std::size_t end = 0;
    if (was_reset_) return false;
    while ((end = ahead_.find("\r\n\r\n")) == std::string::npos) {
      if (ahead_.size() > head_limit || !fill()) return false;
    }
    head.text = ahead_.substr(0, end + 4);
    ahead_.erase(0, end + 4);
    return true;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto part = bytes.substr(0, 16384);
      if (!proxy_.wait_for_rate(part.size())) return false;
      const auto sent = ::send(socket_, part.data(), part.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      const std::scoped_lock lock(proxy_.mutex_);
      sent_ += static_cast<std::uint64_t>(sent);
    }
    return true;
  }

  // Reads the whole body that goes with `head` and gives its bytes to `take`, until that says no. False when it
  // did, and when the body does not come to its end.
  template <class Take>
  bool read_body(const Head& head, bool until_closed, Take&& take) {
    if (head.chunked()) return read_chunks(take);
    const auto length = head.header("Content-Length");
    std::uint64_t left = 0;
    if (!length.empty()) {
      std::from_chars(length.data(), length.data() + length.size(), left);
      return read_bytes(left, take);
    }
    if (!until_closed) return true;
    do {
      if (!take(ahead_)) return false;
      ahead_.clear();
    } while (fill());
    return true;
  }

 private:
  bool fill() {
    if (was_reset_) return false;
    std::array<char, 65536> buffer;
    const auto count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count <= 0) return false;
    ahead_.append(buffer.data(), static_cast<std::size_t>(count));
    return true;
  }
  template <class Take>
  bool read_bytes(std::uint64_t left, Take&& take) {
    while (left > 0) {
      if (ahead_.empty() && !fill()) return false;
      const auto count = std::min<std::uint64_t>(left, ahead_.size());
      if (!take(std::string_view(ahead_).substr(0, count))) return false;
      ahead_.erase(0, count);
      left -= count;
    }
    return true;
  }
  template <class Take>
  bool read_chunks(Take&& take) {
    for (bool last = false;;) {
      std::size_t end = 0;
      while ((end = ahead_.find("\r\n")) == std::string::npos) {
        if (ahead_.size() > head_limit || !fill()) return false;
      }
      std::uint64_t size = 0;
      if (!last) std::from_chars(ahead_.data(), ahead_.data() + end, size, 16);
      const bool after_trailers = last && end == 0;
      last = last || size == 0;
      if (!read_bytes(end + 2, take)) return false;
      if (after_trailers) return true;
      if (size > 0 && !read_bytes(size + 2, take)) return false;
    }
  }

  HttpFaultProxy& proxy_;
  const int socket_;
  std::uint64_t& sent_;  // of the proxy, under its mutex
  std::string ahead_;
  bool was_reset_ = false;
};

HttpFaultProxy::HttpFaultProxy(const std::string& host, int port, std::string listen_on)
    : server_(ipv4_address(host, port)),
      listen_on_(std::move(listen_on)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  auto address = ipv4_address(listen_on_, 0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 256) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw TestFailure("could not listen on " + listen_on_);
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HttpFaultProxy::~HttpFaultProxy() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    for (const int each : sockets_) ::shutdown(each, SHUT_RDWR);
  }
  ending_soon_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (auto& each : served_) each.thread.join();
  ::close(listener_);
}

std::string HttpFaultProxy::endpoint() const {
  return fmt::format("http://{}:{}", listen_on_, port_);
}

void HttpFaultProxy::add(const HttpFault& fault) {
  const std::scoped_lock lock(mutex_);
  faults_.push_back(fault);
}

void HttpFaultProxy::fail_at_random(double probability, std::uint64_t seed,
                                    const std::vector<HttpFault>& kinds) {
  const std::scoped_lock lock(mutex_);
  probability_ = kinds.empty() ? 0 : probability;
  random_.seed(seed);
  random_kinds_ = kinds;
}

void HttpFaultProxy::clear_faults() {
  const std::scoped_lock lock(mutex_);
  faults_.clear();
  probability_ = 0;
}

void HttpFaultProxy::delay_each(std::chrono::milliseconds delay) {
  const std::scoped_lock lock(mutex_);
  delay_ = delay;
}

void HttpFaultProxy::limit_rate(std::int64_t bytes_per_second) {
  const std::scoped_lock lock(mutex_);
  bytes_per_second_ = bytes_per_second;
}

std::vector<std::string> HttpFaultProxy::requests() const {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

int HttpFaultProxy::count(std::string_view method, std::string_view target_part) const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(std::ranges::count_if(requests_, [&](std::string_view request) {
    const auto space = request.find(' ');
    return request.substr(0, space) == method && request.substr(space + 1).contains(target_part);
  }));
}

int HttpFaultProxy::faults() const {
  const std::scoped_lock lock(mutex_);
  return fault_count_;
}

void HttpFaultProxy::forget_requests() {
  const std::scoped_lock lock(mutex_);
  requests_.clear();
  fault_count_ = 0;
}

std::uint64_t HttpFaultProxy::bytes_to_server() const {
  const std::scoped_lock lock(mutex_);
  return bytes_to_server_;
}

std::uint64_t HttpFaultProxy::bytes_to_clients() const {
  const std::scoped_lock lock(mutex_);
  return bytes_to_clients_;
}

std::optional<HttpFault> HttpFaultProxy::arrival(const Head& request) {
  const std::string method = request.word(0);
  const std::string target = request.word(1);
  const std::scoped_lock lock(mutex_);
  requests_.push_back(method + " " + target);
  for (auto& fault : faults_) {
    const bool matches = (fault.method.empty() || fault.method == method) &&
                         target.contains(fault.target_part) && request.text.contains(fault.head_part);
    if (!matches || fault.times == 0) continue;
    if (fault.after > 0) {
      --fault.after;
      continue;
    }
    if (fault.times > 0) --fault.times;
    ++fault_count_;
    return fault;
  }
  if (probability_ == 0 || !std::bernoulli_distribution(probability_)(random_)) return std::nullopt;
  ++fault_count_;
  return random_kinds_[random_() % random_kinds_.size()];
}

bool HttpFaultProxy::wait_delay() {
  std::unique_lock lock(mutex_);
  return !ending_soon_.wait_for(lock, delay_, [this] { return ending_; });
}

bool HttpFaultProxy::wait_for_rate(std::size_t bytes) {
  std::unique_lock lock(mutex_);
  if (bytes_per_second_ == 0) return !ending_;
  const std::chrono::duration<double> needed(static_cast<double>(bytes) /
                                             static_cast<double>(bytes_per_second_));
  rate_used_until_ = std::max(rate_used_until_, std::chrono::steady_clock::now()) +
                     std::chrono::duration_cast<std::chrono::nanoseconds>(needed);
  return !ending_soon_.wait_until(lock, rate_used_until_, [this] { return ending_; });
}

void HttpFaultProxy::accept_all() {
  for (;;) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const std::scoped_lock lock(mutex_);
    if (ending_ && client >= 0) ::close(client);
    if (ending_) return;
    if (client < 0) continue;  // it left before it was accepted
    served_.remove_if([](Served& each) {
      if (each.ended) each.thread.join();
      return each.ended;
    });
    Served& served = served_.emplace_back();
    served.thread = std::thread([this, client, &served] {
      serve(client);
      const std::scoped_lock ended(mutex_);
      served.ended = true;
    });
  }
}

void HttpFaultProxy::serve(int socket) {
  Connection client(*this, socket, bytes_to_clients_);
  std::unique_ptr<Connection> server;
  for (Head request; client.read_head(request);) {
    const auto fault = arrival(request);
    if (!wait_delay()) return;
    const bool done = fault && answer_for_server(client, request, *fault);
    if (!(done ? !request.closes() : pass_on(client, server, request, fault))) return;
  }
}

// False when the request is to be passed on. A connection that ends here has nothing left to read.
bool HttpFaultProxy::answer_for_server(Connection& client, const Head& request, const HttpFault& fault) {
  std::string text;
  if (fault.kind == HttpFaultKind::reset_before) {
    client.reset();
    return true;
  }
  if (fault.kind == HttpFaultKind::hang) {
    client.read_until_closed();
    return true;
  }
  if (fault.kind == HttpFaultKind::answer) {
    text = s3_error(fault);
    if (request.word(0) == "HEAD") text.resize(text.find("\r\n\r\n") + 4);
  } else if (fault.kind == HttpFaultKind::stale_answer && request.word(0) == "GET") {
    const std::scoped_lock lock(mutex_);
    text = last_answers_[request.word(1)];
  }
  if (text.empty()) return false;
  if (!request.header("Expect").empty()) (void)client.send(go_on);
  if (client.read_body(request, false, [](std::string_view) { return true; })) (void)client.send(text);
  return true;
}

// False when the connection to the client is of no more use.
bool HttpFaultProxy::pass_on(Connection& client, std::unique_ptr<Connection>& server, const Head& request,
                             const std::optional<HttpFault>& fault) {
  const auto kind = fault ? fault->kind : HttpFaultKind::stale_answer;
  if (server == nullptr || server->closed_by_peer()) server = connect_to_server();
  if (server == nullptr) {
    client.reset();
    return false;
  }
  // A server that has seen enough may answer and close before it has had the whole body.
  bool taken = server->send(request.text);
  if (!request.header("Expect").empty()) (void)client.send(go_on);
  const bool asked = client.read_body(request, false, [&](std::string_view bytes) {
    taken = taken && server->send(bytes);
    return true;
  });
  Head answer;
  do {
    if (asked && server->read_head(answer)) continue;
    client.reset();
    return false;
  } while (answer.status() / 100 == 1);
  if (kind == HttpFaultKind::lose_answer) {
    client.reset();
    return false;
  }

  const bool listing = request.word(0) == "GET" && request.word(1).contains('?') && answer.status() == 200;
  std::string kept = answer.text;
  std::uint64_t left = kind == HttpFaultKind::cut_answer ? fault->body_bytes : no_cut;
  const auto give = [&](std::string_view bytes) {
    if (listing && kept.size() <= kept_answer_limit) kept += bytes;
    const auto part = bytes.substr(0, left);
    left -= part.size();
    return client.send(part) && part.size() == bytes.size();
  };
  const bool bodyless = request.word(0) == "HEAD" || answer.status() == 204 || answer.status() == 304;
  const bool until_closed = !bodyless && !answer.chunked() && answer.header("Content-Length").empty();
  if (!client.send(answer.text)) return false;
  if (!bodyless && !server->read_body(answer, true, give)) {
    if (kind != HttpFaultKind::cut_answer) client.reset();
    return false;
  }
  if (listing && kept.size() <= kept_answer_limit) {
    const std::scoped_lock lock(mutex_);
    last_answers_[request.word(1)] = kept;
  }
  return !until_closed && !request.closes() && !answer.closes();
}

std::unique_ptr<HttpFaultProxy::Connection> HttpFaultProxy::connect_to_server() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto server = std::make_unique<Connection>(*this, socket, bytes_to_server_);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&server_), sizeof server_) != 0) return nullptr;
  return server;
}

}  // namespace pgstrata::testing
