// What a network and a tired server do to requests: through a proxy in front of the real server.
#include <gmock/gmock.h>

#include "base/sanitized.h"
#include "storage/brief_attempts.h"
#include "storage/s3/s3_test_support.h"
#include "support/http_fault_proxy.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using testing::HttpFault;
using testing::HttpFaultKind;
using ::testing::SizeIs;

class S3FaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = S3Store::open_or_make(place_, options_);
    ASSERT_TRUE(made) << made.error().describe();
    store_ = *std::move(made);
  }
  // One fault for the next request of that method.
  void fail_next(std::string method, HttpFaultKind kind, int status = 503) {
    HttpFault fault;
    fault.kind = kind;
    fault.method = std::move(method);
    fault.status = status;
    proxy_.add(fault);
  }
  static std::string text(const Result<Bytes>& content) {
    return content ? std::string(as_text(*content)) : content.error().describe();
  }
  static std::string message(const Result<void>& done) { return done ? "ok" : done.error().describe(); }

  testing::HttpFaultProxy proxy_{"127.0.0.1", testing::S3Server::shared().port()};
  S3Location place_ = new_place(proxy_.endpoint());
  S3ClientOptions options_ = test_options();
  std::unique_ptr<S3Store> store_;
};

TEST_F(S3FaultsTest, WhatPassesIsWaitedOut) {
  int number = 0;
  for (const int status : {500, 502, 503, 504, 429}) {
    for (const std::string method : {"PUT", "GET", "HEAD", "DELETE"}) {
      const std::string name = fmt::format("o/{}", ++number);
      const int faults = proxy_.faults();
      fail_next(method, HttpFaultKind::answer, status);
      ASSERT_EQ(message(store_->put(name, as_byte_view("content"))), "ok") << method << status;
      EXPECT_EQ(text(store_->get(name)), "content") << method << status;
      EXPECT_EQ(store_->stat(name)->size_bytes, 7U) << method << status;
      ASSERT_EQ(message(store_->remove(name)), "ok") << method << status;
      EXPECT_EQ(proxy_.faults(), faults + 1) << method << status;
    }
  }
}

TEST_F(S3FaultsTest, ConnectionsThatBreakAreMadeAnew) {
  fail_next("PUT", HttpFaultKind::reset_before);
  ASSERT_EQ(message(store_->put("o/1", as_byte_view("content"))), "ok");
  fail_next("GET", HttpFaultKind::reset_before);
  EXPECT_EQ(text(store_->get("o/1")), "content");
  fail_next("GET", HttpFaultKind::lose_answer);
  EXPECT_EQ(text(store_->get("o/1")), "content");
  EXPECT_EQ(proxy_.faults(), 3);
}

TEST_F(S3FaultsTest, ALostAnswerToAPutIsNoTakenName) {
  fail_next("PUT", HttpFaultKind::lose_answer);
  EXPECT_EQ(message(store_->put("o/1", as_byte_view("content"))), "ok");
  EXPECT_EQ(text(store_->get("o/1")), "content");
  // Somebody else's object by that name is one all the same.
  fail_next("PUT", HttpFaultKind::lose_answer);
  const auto taken = store_->put("o/1", as_byte_view("content"));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::already_exists);
  EXPECT_EQ(proxy_.faults(), 2);
}

TEST_F(S3FaultsTest, ALostAnswerToAReplaceIsNoLostRace) {
  fail_next("PUT", HttpFaultKind::lose_answer);
  const auto first = store_->replace("lease", std::nullopt, as_byte_view("one"));
  ASSERT_TRUE(first) << first.error().describe();
  fail_next("PUT", HttpFaultKind::lose_answer);
  const auto second = store_->replace("lease", *first, as_byte_view("two"));
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(store_->get_versioned("lease")->version, *second);
  fail_next("PUT", HttpFaultKind::lose_answer);
  const auto late = store_->replace("lease", *first, as_byte_view("three"));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), ErrorCode::busy);
  EXPECT_EQ(text(store_->get("lease")), "two");
}

TEST_F(S3FaultsTest, ABodyThatIsCutOffIsAskedForAgain) {
  const std::string content(100'000, 'x');
  ASSERT_EQ(message(store_->put("o/1", as_byte_view(content))), "ok");
  HttpFault cut;
  cut.kind = HttpFaultKind::cut_answer;
  cut.method = "GET";
  cut.body_bytes = 50'000;
  proxy_.add(cut);
  EXPECT_TRUE(text(store_->get("o/1")) == content);
  proxy_.add(cut);
  Bytes into(90'000);
  const auto got = store_->read_some("o/1", 5, into);
  ASSERT_TRUE(got) << got.error().describe();
  EXPECT_EQ(*got, into.size());
  EXPECT_TRUE(as_text(into) == std::string(into.size(), 'x'));
  EXPECT_EQ(proxy_.faults(), 2);
}

TEST_F(S3FaultsTest, EachStepOfALargeWriteMayFailOnce) {
  const Bytes content(17U << 20, std::byte{7});
  for (const std::string_view what : {"uploads=", "partNumber=1", "partNumber=3", "uploadId="}) {
    for (const HttpFaultKind kind :
         {HttpFaultKind::lose_answer, HttpFaultKind::answer, HttpFaultKind::reset_before}) {
      // The one that is hardest to get right is enough where all takes long.
      if (sanitized && kind != HttpFaultKind::lose_answer) continue;
      const int faults = proxy_.faults();
      HttpFault fault;
      fault.kind = kind;
      fault.status = 500;
      fault.target_part = what;
      if (what == "uploadId=") fault.method = "POST";
      proxy_.add(fault);
      auto writer = store_->create("large");
      ASSERT_TRUE(writer);
      ASSERT_EQ(message((*writer)->write(content)), "ok") << what;
      ASSERT_EQ(message((*writer)->commit()), "ok") << what;
      EXPECT_TRUE(store_->get("large").value() == content) << what;
      EXPECT_EQ(proxy_.faults(), faults + 1) << what;
      ASSERT_TRUE(store_->remove("large"));
    }
  }
}

TEST_F(S3FaultsTest, WhatDoesNotPassIsSaidWhenPatienceEnds) {
  options_.patience = std::chrono::milliseconds(300);
  const auto store = S3Store::open(place_, options_);
  ASSERT_TRUE(store);
  HttpFault down;
  down.status = 503;
  down.code = "SlowDown";
  down.times = testing::for_ever;
  proxy_.add(down);
  const auto put = (*store)->put("o/1", as_byte_view("x"));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(put.error().describe(), HasSubstr("503, SlowDown"));
  EXPECT_GT(proxy_.faults(), 2);
  proxy_.clear_faults();
  HttpFault gone;
  gone.kind = HttpFaultKind::reset_before;
  gone.times = testing::for_ever;
  proxy_.add(gone);
  EXPECT_EQ((*store)->get("o/1").error().code(), ErrorCode::unavailable);
  EXPECT_EQ((*store)->list_all("").error().code(), ErrorCode::unavailable);
}

TEST_F(S3FaultsTest, WhoIsToStopWaitsNoLonger) {
  Cancellation cancellation;
  options_.cancellation = &cancellation;
  options_.patience = std::chrono::minutes(10);
  options_.stopping_patience = std::chrono::milliseconds(100);
  const auto store = S3Store::open(place_, options_);
  ASSERT_TRUE(store);
  HttpFault down;
  down.status = 503;
  down.times = testing::for_ever;
  proxy_.add(down);
  std::jthread stopper([&] {
    while (proxy_.faults() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancellation.request();
  });
  EXPECT_EQ((*store)->get("o/1").error().code(), ErrorCode::unavailable);
  stopper.join();
  proxy_.clear_faults();
  EXPECT_EQ(message((*store)->put("o/1", as_byte_view("last words"))), "ok")
      << "what is to be finished still can be";
}

TEST_F(S3FaultsTest, TheLimitOfBytesCountsBothWays) {
  place_.bandwidth_bytes_per_second = 1U << 20;
  const auto store = S3Store::open(place_, options_);
  ASSERT_TRUE(store);
  const Bytes content(3U << 20);
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_EQ(message((*store)->put("o/1", content)), "ok");
  ASSERT_EQ((*store)->get("o/1")->size(), content.size());
  ASSERT_EQ(message((*store)->put("o/2", {})), "ok");
  // Of six seconds' worth one may go at once.
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(4900));
}

TEST_F(S3FaultsTest, AServerThatFallsSilentIsGivenUp) {
  options_.silence_limit = std::chrono::seconds(1);
  const auto store = S3Store::open(place_, options_);
  ASSERT_TRUE(store);
  HttpFault silent;
  silent.kind = HttpFaultKind::hang;
  silent.method = "PUT";
  proxy_.add(silent);
  EXPECT_EQ(message((*store)->put("o/1", as_byte_view("x"))), "ok");
  EXPECT_EQ(proxy_.faults(), 1);
}

TEST_F(S3FaultsTest, WhatIsNotToBeRepeatedIsNot) {
  proxy_.forget_requests();
  HttpFault denied;
  denied.status = 403;
  denied.code = "AccessDenied";
  proxy_.add(denied);
  EXPECT_EQ(store_->put("o/1", as_byte_view("x")).error().code(), ErrorCode::permission);
  EXPECT_THAT(proxy_.requests(), SizeIs(1));
}

// As Amazon S3's documentation has them ("Error responses").
HttpFault expired_token() {
  HttpFault fault;
  fault.status = 400;
  fault.times = testing::for_ever;
  fault.body =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ExpiredToken</Code><Message>The provided "
      "token has "
      "expired.</Message><Token-0>of-a-session</Token-0><RequestId>4442587FB7D0A2F9</RequestId></Error>";
  return fault;
}
HttpFault in_another_region(int status, const std::string& signed_for, const std::string& region) {
  HttpFault fault;
  fault.status = status;
  fault.times = testing::for_ever;
  fault.head_part = "/" + signed_for + "/s3/aws4_request";
  fault.more_headers = "x-amz-bucket-region: " + region + "\r\n";
  fault.body =
      status == 301
          ? "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be "
            "addressed "
            "using the specified endpoint. Please send all future requests to this endpoint.</Message>"
            "<Endpoint>bucket.s3.amazonaws.com</Endpoint><Bucket>bucket</Bucket></Error>"
          : fmt::format(
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is "
                "malformed; the region '{}' is wrong; expecting '{}'</Message><Region>{}</Region></Error>",
                signed_for, region, region);
  return fault;
}

TEST_F(S3FaultsTest, ASessionThatHasExpiredIsSaid) {
  options_.credentials->session_token = "token-of-the-session";
  proxy_.add(expired_token());
  const auto store = S3Store::open(place_, options_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), ErrorCode::permission);
  EXPECT_THAT(store.error().describe(),
              HasSubstr("the server answered 400, ExpiredToken: The provided token has expired."));
  EXPECT_THAT(store.error().describe(), ::testing::Not(HasSubstr("token-of-the-session")));
  EXPECT_THAT(store.error().hint(), HasSubstr("get new credentials"));
  EXPECT_EQ(proxy_.faults(), 2) << "once more with what may have been renewed, and no more";
}

TEST_F(S3FaultsTest, ASessionThatExpiresIsRenewed) {
  auto once = expired_token();
  once.times = 1;
  proxy_.add(once);
  EXPECT_EQ(message(store_->put("o/1", as_byte_view("x"))), "ok");
  EXPECT_EQ(proxy_.faults(), 1);
  auto invalid = expired_token();
  invalid.body =
      "<Error><Code>InvalidToken</Code><Message>The provided token is malformed or otherwise not "
      "valid.</Message></Error>";
  proxy_.add(invalid);
  const auto refused = store_->get("o/1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::permission);
  EXPECT_THAT(refused.error().hint(), HasSubstr("AWS_SESSION_TOKEN"));
}

TEST_F(S3FaultsTest, ABucketOfAnotherRegionIsAskedThere) {
  ASSERT_EQ(message(store_->put("o/1", as_byte_view("x"))), "ok");
  for (const int status : {301, 400}) {
    proxy_.clear_faults();
    proxy_.add(in_another_region(status, "us-east-1", "eu-central-1"));
    const int before = proxy_.faults();
    const auto store = S3Store::open(place_, options_);
    ASSERT_TRUE(store) << store.error().describe();
    EXPECT_EQ(text((*store)->get("o/1")), "x");
    EXPECT_TRUE((*store)->stat("o/1"));
    EXPECT_EQ(proxy_.faults(), before + 1) << status << ": it has learnt";
  }
}

TEST_F(S3FaultsTest, WhoIsSentFromRegionToRegionEnds) {
  proxy_.add(in_another_region(400, "us-east-1", "eu-central-1"));
  proxy_.add(in_another_region(301, "eu-central-1", "us-east-1"));
  const auto done = store_->get("o/1");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::failed);
  EXPECT_THAT(done.error().describe(), HasSubstr("could not read s3://" + place_.bucket));
  EXPECT_THAT(done.error().hint(), HasSubstr("region="));
  EXPECT_LT(proxy_.faults(), 6);
}

TEST_F(S3FaultsTest, WhatIsAllowedForAMomentIsNotTriedLater) {
  options_.patience = std::chrono::hours(1);
  const auto patient = S3Store::open(place_, options_);
  ASSERT_TRUE(patient);
  HttpFault away;
  away.status = 503;
  away.times = testing::for_ever;
  proxy_.add(away);
  const BriefAttempts brief(std::chrono::milliseconds(200));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ((*patient)->put("o/1", as_byte_view("x")).error().code(), ErrorCode::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(30));
}

TEST_F(S3FaultsTest, EncryptionIsAskedForWithWhateverIsWritten) {
  place_.encryption = "AES256";
  const auto made = S3Store::open(place_, options_);
  ASSERT_TRUE(made) << made.error().describe();
  const auto asked = [&](const std::string& method, const std::string& target, const std::string& head) {
    HttpFault seen;
    seen.kind = HttpFaultKind::stale_answer;  // passed on: it is no listing
    seen.method = method;
    seen.target_part = target;
    seen.head_part = head;
    seen.times = testing::for_ever;
    proxy_.add(seen);
  };
  asked("PUT", "/o/", "x-amz-server-side-encryption: AES256");
  ASSERT_EQ(message((*made)->put("o/1", as_byte_view("x"))), "ok");
  ASSERT_TRUE((*made)->replace("o/2", std::nullopt, as_byte_view("x")));
  EXPECT_EQ(proxy_.faults(), 2);
  proxy_.clear_faults();
  asked("POST", "uploads", "x-amz-server-side-encryption: AES256");
  asked("PUT", "partNumber", "x-amz-server-side-encryption");
  auto writer = (*made)->create("o/3");
  ASSERT_TRUE((*writer)->write(Bytes(20U << 20)));
  ASSERT_EQ(message((*writer)->commit()), "ok");
  EXPECT_EQ(proxy_.faults(), 3) << "the beginning alone: Amazon refuses it with a part";
}

class ClockThatIsOff : public Clock {
 public:
  explicit ClockThatIsOff(std::chrono::hours by) : by_(by) {}
  [[nodiscard]] Timestamp now() const override { return system_clock().now() + by_; }
  [[nodiscard]] SteadyTime steady() const override { return system_clock().steady(); }

 private:
  std::chrono::hours by_;
};

TEST_F(S3FaultsTest, AClockThatIsOffIsMadeUpFor) {
  for (const int hours : {-30, 30}) {
    const ClockThatIsOff clock{std::chrono::hours(hours)};
    const auto store = S3Store::open(place_, options_, clock);
    ASSERT_TRUE(store) << store.error().describe();
    const std::string name = hours < 0 ? "o/1" : "o/2";
    EXPECT_EQ(message((*store)->put(name, as_byte_view("x"))), "ok");
    proxy_.forget_requests();
    EXPECT_EQ(text((*store)->get(name)), "x");
    EXPECT_THAT(proxy_.requests(), SizeIs(1)) << "it has learnt";
  }
}

TEST_F(S3FaultsTest, AClockThatJumpsIsMadeUpForWhereNoBodySaysSo) {
  class JumpingClock : public Clock {
   public:
    [[nodiscard]] Timestamp now() const override { return system_clock().now() + by; }
    [[nodiscard]] SteadyTime steady() const override { return system_clock().steady(); }
    std::chrono::hours by{0};
  };
  JumpingClock clock;
  ASSERT_EQ(message(store_->put("o/1", as_byte_view("x"))), "ok");
  const auto store = S3Store::open(place_, options_, clock);
  ASSERT_TRUE(store) << store.error().describe();
  for (const int hours : {-30, 30}) {
    clock.by = std::chrono::hours(hours);
    const auto info = (*store)->stat("o/1");
    ASSERT_TRUE(info) << info.error().describe();
    EXPECT_EQ((*store)->stat("o/2").error().code(), ErrorCode::not_found);
  }
}

TEST(S3StoreTest, ANameThatIsNotFoundIsAskedForAgain) {
  S3Location place;
  place.bucket = "bucket";
  place.endpoint = "http://no-such-host.invalid";
  S3ClientOptions options = test_options();
  options.first_patience = std::chrono::milliseconds(200);
  const auto store = S3Store::open(place, options);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(store.error().hint(), HasSubstr("name server"));
}

// Every kind of fault at any request, against what the store must hold.
TEST_F(S3FaultsTest, RandomFaultsChangeNothing) {
  std::vector<HttpFault> kinds(4);
  kinds[0].status = 503;
  kinds[1].kind = HttpFaultKind::reset_before;
  kinds[2].kind = HttpFaultKind::lose_answer;
  kinds[3].kind = HttpFaultKind::cut_answer;
  options_.patience = std::chrono::seconds(30);
  for (const std::uint64_t seed : sanitized ? std::vector{1U} : std::vector{1U, 2U}) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    proxy_.fail_at_random(0.3, seed, kinds);
    auto store = S3Store::open(place_, options_);
    ASSERT_TRUE(store) << store.error().describe();
    std::mt19937_64 random(seed);
    std::map<std::string, std::string> expected;
    std::string lease_version;
    for (int step = 0; step < 120; ++step) {
      const std::string name = fmt::format("r{}/{}", seed, random() % 20);
      const std::string content(random() % 3000, static_cast<char>('a' + step % 26));
      switch (random() % 4) {
        case 0: {
          const auto put = (*store)->put(name, as_byte_view(content));
          if (expected.contains(name)) {
            ASSERT_FALSE(put);
            ASSERT_EQ(put.error().code(), ErrorCode::already_exists) << put.error().describe();
          } else {
            ASSERT_EQ(message(put), "ok");
            expected[name] = content;
          }
          break;
        }
        case 1:
          ASSERT_EQ(message((*store)->remove(name)), "ok");
          expected.erase(name);
          break;
        case 2: {
          const auto got = (*store)->get(name);
          ASSERT_EQ(got.has_value(), expected.contains(name));
          if (got) {
            ASSERT_TRUE(as_text(*got) == expected[name]);
          }
          break;
        }
        default: {
          const std::string mine = fmt::format("{} {}", step, content);
          const auto replaced = (*store)->replace(
              fmt::format("lease{}", seed),
              lease_version.empty() ? std::nullopt : std::optional(lease_version), as_byte_view(mine));
          ASSERT_TRUE(replaced) << replaced.error().describe();
          lease_version = *replaced;
          ASSERT_TRUE(text((*store)->get(fmt::format("lease{}", seed))) == mine);
        }
      }
    }
    const auto listed = (*store)->list_all(fmt::format("r{}/", seed));
    ASSERT_TRUE(listed) << listed.error().describe();
    EXPECT_EQ(listed->size(), expected.size());
    EXPECT_GT(proxy_.faults(), 20);
    proxy_.clear_faults();
  }
}

}  // namespace
}  // namespace pgstrata
