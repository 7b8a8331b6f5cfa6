// A real S3 server (tests/support/s3_server.h), and a way to it on which each request takes longer, for bench/measure_s3.py.
// Says where it is, as JSON in a line; then answers each line of its input with another; ends with its input.
//
//   delay MS       before each request that goes through the proxy, from now on
//   requests       how many went through the proxy since that was asked last; which, on stderr
//   saturate SIZE  bytes a second that the server takes of SIZE bytes in parts of 8 MiB, four at a time, from a client that does
//                  next to nothing but send
#include <atomic>
#include <iostream>
#include <thread>

#include <fmt/format.h>

#include "codec/digest.h"
#include "support/http_fault_proxy.h"
#include "support/s3_server.h"

namespace pgstrata::testing {
namespace {

double rate_of_puts(const S3Server& server, std::size_t size_bytes) {
  constexpr int connections = 4;
  const std::string part(8U << 20, 'x');
  const std::string bucket = server.make_bucket();
  const std::string digest = to_hex(sha256(as_byte_view(part)));
  std::atomic<std::size_t> begun = 0;
  std::atomic<std::size_t> done_bytes = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto put_some = [&] {
    for (std::size_t number; (number = begun++) < size_bytes / part.size();) {
      const auto url = fmt::format("{}/{}/{}", server.endpoint(), bucket, number);
      const auto answer = send_signed({.method = "PUT",
                                       .url = url,
                                       .headers = {"x-amz-content-sha256: " + digest},
                                       .body = part,
                                       .keep_connection = true},
                                      S3Server::owner());
      if (answer.status == 200) done_bytes += part.size();
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < connections; ++i) threads.emplace_back(put_some);
  threads.clear();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(done_bytes) / took.count();
}

void serve() {
  const S3Server server;
  HttpFaultProxy proxy("127.0.0.1", server.port());
  const auto bucket = server.make_bucket();
  // The first upload in parts makes a pool.
  (void)server.request("POST", "/" + server.make_bucket() + "/first?uploads=");
  fmt::print(R"({{"direct": "{}", "delayed": "{}", "bucket": "{}", "access_key": "{}", "secret_key": "{}"}})",
             server.endpoint(), proxy.endpoint(), bucket, S3Server::owner().access_key,
             S3Server::owner().secret_key);
  for (std::string verb; std::cout << std::endl, std::cin >> verb;) {
    std::size_t answer = 0;
    if (verb == "requests") {
      const auto requests = proxy.requests();
      proxy.forget_requests();
      answer = requests.size();
      for (const auto& request : requests) std::cerr << request << "\n";
    } else if (std::size_t number = 0; std::cin >> number) {
      if (verb == "delay") proxy.delay_each(std::chrono::milliseconds(number));
      if (verb == "saturate") answer = static_cast<std::size_t>(rate_of_puts(server, number));
    }
    std::cout << answer;
  }
}

}  // namespace
}  // namespace pgstrata::testing

int main() {
  try {
    pgstrata::testing::serve();
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
