// The S3 server for tests, and the proxy that spoils what is said to it.
#include <chrono>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/http_fault_proxy.h"
#include "support/s3_server.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(S3ServerTest, KeepsWhatItsOwnerStoresAndTellsNoStranger) {
  const auto& server = S3Server::shared();
  const std::string target = "/" + server.make_bucket() + "/key";
  EXPECT_EQ(server.request("PUT", target, "value").status, 200);
  EXPECT_EQ(server.request("GET", target).body, "value");

  const auto as = [&](const std::string& method, const S3Credentials& who) {
    return send_signed({.method = method, .url = server.endpoint() + target}, who).status;
  };
  EXPECT_EQ(as("GET", S3Server::reader()), 200);
  EXPECT_EQ(as("PUT", S3Server::reader()), 403);
  EXPECT_EQ(as("DELETE", S3Server::reader()), 403);
  EXPECT_EQ(as("GET", S3Server::stranger()), 403);
  EXPECT_EQ(as("GET", {S3Server::owner().access_key, "wrong"}), 403);
}

TEST(S3ServerTest, SpeaksTlsAndKnowsBucketsByHost) {
  const auto& server = S3Server::shared();
  const auto bucket = server.make_bucket();
  server.request("PUT", "/" + bucket + "/key", "value");
  const auto by_path = server.tls_endpoint() + "/" + bucket + "/key";
  EXPECT_EQ(send_signed({.url = by_path, .ca_file = server.ca_file()}, S3Server::owner()).body, "value");
  EXPECT_THAT(send_signed({.url = by_path}, S3Server::owner()).error, HasSubstr("certificate"));
  const auto port = server.tls_endpoint().substr(server.tls_endpoint().rfind(':'));
  const auto by_host = "https://" + bucket + ".s3.localhost" + port + "/key";
  EXPECT_EQ(send_signed({.url = by_host, .ca_file = server.ca_file()}, S3Server::owner()).body, "value");
}

TEST(S3ServerTest, KeepsToConditionsChecksumsAndLocks) {
  const auto& server = S3Server::shared();
  const std::string target = "/" + server.make_bucket() + "/key";
  EXPECT_EQ(server.request("PUT", target, "hello", {"if-none-match: *"}).status, 200);
  EXPECT_EQ(server.request("PUT", target, "2", {"if-none-match: *"}).status, 412);
  EXPECT_EQ(server.request("PUT", target, "2", {"if-match: 00000000000000000000000000000000"}).status, 412);
  EXPECT_EQ(server.request("PUT", target, "2", {"if-match: 5d41402abc4b2a76b9719d911017c592"}).status, 200);
  EXPECT_EQ(server.request("PUT", target, "2", {"x-amz-content-sha256: " + std::string(64, '0')}).status,
            400);
  EXPECT_EQ(server.request("PUT", target, "2", {"content-md5: XUFAKrxLKna5cZ2REBfFkg=="}).status, 400);

  const std::string locked = "/" + server.make_bucket(WithObjectLock::yes) + "/key";
  const auto put = server.request(
      "PUT", locked, "kept",
      {"x-amz-object-lock-mode: COMPLIANCE", "x-amz-object-lock-retain-until-date: 2099-01-01T00:00:00Z"});
  const auto version = locked + "?versionId=" + server.request("HEAD", locked).headers["x-amz-version-id"];
  EXPECT_EQ(server.request("DELETE", version).status, 403) << put.body;
  EXPECT_EQ(server.request("GET", version).body, "kept");
}

TEST(S3ServerTest, SeveralAreStrangersToEachOther) {
  const S3Server other;
  EXPECT_NE(other.endpoint(), S3Server::shared().endpoint());
  EXPECT_EQ(other.request("GET", "/" + other.make_bucket() + "/first").status, 404);
}

class HttpFaultProxyTest : public ::testing::Test {
 protected:
  HttpFaultProxyTest() { server_.request("PUT", target_, value_); }
  // All over one connection of this thread while keep_connection_.
  S3Answer send(const std::string& method, const std::string& target, const std::string& body = {}) const {
    return send_signed({.method = method,
                        .url = proxy_.endpoint() + target,
                        .body = body,
                        .keep_connection = keep_connection_},
                       S3Server::owner());
  }
  S3Answer get() const { return send("GET", target_); }

  const S3Server& server_ = S3Server::shared();
  const std::string bucket_ = "/" + server_.make_bucket();
  const std::string target_ = bucket_ + "/key";
  const std::string value_ = std::string(300'000, 'v');
  HttpFaultProxy proxy_{"127.0.0.1", server_.port()};
  bool keep_connection_ = false;
};

TEST_F(HttpFaultProxyTest, PassesOnAndCounts) {
  keep_connection_ = true;
  EXPECT_EQ(get().body, value_);
  const std::string large(3 << 20, 'l');  // curl asks whether to send that much
  EXPECT_EQ(send("PUT", target_, large).status, 200);
  EXPECT_EQ(send("HEAD", target_).headers["content-length"], std::to_string(large.size()));
  EXPECT_EQ(get().body, large);
  EXPECT_EQ(send("DELETE", target_).status, 204);
  EXPECT_THAT(proxy_.requests(), ElementsAre("GET " + target_, "PUT " + target_, "HEAD " + target_,
                                             "GET " + target_, "DELETE " + target_));
  EXPECT_EQ(proxy_.count("GET", "/key"), 2);
  EXPECT_EQ(proxy_.faults(), 0);
  EXPECT_GT(proxy_.bytes_to_server(), large.size());
  EXPECT_GT(proxy_.bytes_to_clients(), large.size() + value_.size());
}

TEST_F(HttpFaultProxyTest, AnswersInPlaceOfTheServer) {
  proxy_.add({.method = "PUT", .times = 2, .after = 1, .status = 503, .code = "SlowDown"});
  EXPECT_EQ(send("PUT", target_, "1").status, 200);
  const auto refused = send("PUT", target_, "2");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("<Code>SlowDown</Code>"));
  EXPECT_EQ(get().body, "1");
  EXPECT_EQ(send("PUT", target_, std::string(2 << 20, '3')).status, 503);
  EXPECT_EQ(send("PUT", target_, "4").status, 200);
  EXPECT_EQ(proxy_.faults(), 2);
}

TEST_F(HttpFaultProxyTest, ResetsBeforeAndAfterwards) {
  proxy_.add({.kind = HttpFaultKind::reset_before, .method = "PUT", .target_part = "before"});
  EXPECT_NE(send("PUT", bucket_ + "/before", "x").error, "");
  EXPECT_EQ(server_.request("GET", bucket_ + "/before").status, 404);
  proxy_.add({.kind = HttpFaultKind::lose_answer, .method = "PUT"});
  EXPECT_NE(send("PUT", bucket_ + "/after", "x").error, "");
  EXPECT_EQ(server_.request("GET", bucket_ + "/after").status, 200);
}

TEST_F(HttpFaultProxyTest, CutsAnswersAndGivesOldOnes) {
  proxy_.add({.kind = HttpFaultKind::cut_answer, .target_part = "/key", .body_bytes = 200'000});
  const auto cut = get();
  EXPECT_NE(cut.error, "");
  EXPECT_EQ(cut.body.size(), 200'000U);

  const auto list = [&] { return send("GET", bucket_ + "?list-type=2").body; };
  proxy_.add({.kind = HttpFaultKind::stale_answer, .target_part = "list-type", .times = 1, .after = 1});
  EXPECT_THAT(list(), HasSubstr("<KeyCount>1</KeyCount>"));
  EXPECT_EQ(send("PUT", bucket_ + "/second", "x").status, 200);
  EXPECT_THAT(list(), HasSubstr("<KeyCount>1</KeyCount>"));
  EXPECT_THAT(list(), HasSubstr("<KeyCount>2</KeyCount>"));
}

TEST_F(HttpFaultProxyTest, EndsWhatHangs) {
  std::future<S3Answer> hanging;
  const auto begun = std::chrono::steady_clock::now();
  {
    HttpFaultProxy proxy("127.0.0.1", server_.port());
    proxy.add({.kind = HttpFaultKind::hang, .times = for_ever});
    hanging = std::async(std::launch::async,
                         [url = proxy.endpoint()] { return send_signed({.url = url}, S3Server::owner()); });
    wait_until("the request", [&] { return proxy.faults() == 1; });
  }
  EXPECT_NE(hanging.get().error, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST_F(HttpFaultProxyTest, IsAsSlowAsItIsTold) {
  const auto time = [&] {
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(get().body, value_);
    return std::chrono::steady_clock::now() - begun;
  };
  proxy_.delay_each(std::chrono::milliseconds(150));
  EXPECT_GE(time(), std::chrono::milliseconds(150));
  proxy_.delay_each(std::chrono::milliseconds(0));
  proxy_.limit_rate(1'000'000);
  EXPECT_GE(time(), std::chrono::milliseconds(295));
}

TEST_F(HttpFaultProxyTest, FailsAtRandomTheSameWayFromTheSameSeed) {
  const auto outcomes = [&] {
    std::string result;
    proxy_.fail_at_random(0.5, 7, {{.status = 500}, {.kind = HttpFaultKind::reset_before}});
    for (int i = 0; i < 40; ++i) {
      const auto answer = send("PUT", target_, "x");
      result += answer.status == 200 ? '.' : answer.status == 500 ? '5' : 'r';
    }
    return result;
  };
  const auto first = outcomes();
  EXPECT_EQ(outcomes(), first);
  for (const char each : {'.', '5', 'r'}) EXPECT_THAT(first, ::testing::Contains(each));
}

TEST_F(HttpFaultProxyTest, ServesManyAtOnce) {
  keep_connection_ = true;
  proxy_.add({.times = 8});
  std::vector<std::future<int>> workers;
  for (int i = 0; i < 16; ++i) {
    workers.push_back(std::async(std::launch::async, [&] {
      int good = 0;
      for (int n = 0; n < 10; ++n) good += get().body == value_ ? 1 : 0;
      return good;
    }));
  }
  int good = 0;
  for (auto& worker : workers) good += worker.get();
  EXPECT_EQ(good, 152);
}

}  // namespace
}  // namespace pgstrata::testing
