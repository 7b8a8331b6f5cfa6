#include "net/aws/aws_credential_chain_test.h"

#include <thread>

namespace pgstrata {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

TEST_F(AwsCredentialChainTest, NoneAnywhereSaysWhereWasLooked) {
  EXPECT_THAT(found(), AllOf(StartsWith("permission"), HasSubstr("AWS_ACCESS_KEY_ID is not set"),
                             HasSubstr("profile \"default\" has none"),
                             HasSubstr("no EC2 metadata service answers"), HasSubstr("aws configure")));
  EXPECT_THAT(local_.sent, SizeIs(1));  // one connection that is waited for, no more
  EXPECT_LE(aws_local_http_options().connect_limit, 1s);
  variables_["AWS_EC2_METADATA_DISABLED"] = "TRUE";
  EXPECT_THAT(found(), HasSubstr("AWS_EC2_METADATA_DISABLED is true"));
  EXPECT_THAT(local_.sent, SizeIs(1));
}

TEST_F(AwsCredentialChainTest, VariablesComeBeforeTheProfileUnlessItWasAskedFor) {
  config("[profile p]\naws_access_key_id = P\naws_secret_access_key = s\naws_session_token = t\n");
  variables_["AWS_ACCESS_KEY_ID"] = "V";
  EXPECT_THAT(found(), StartsWith("usage"));
  variables_["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ(found(), "V s ");
  variables_["AWS_PROFILE"] = "p";
  EXPECT_EQ(found(), "V s ");
  EXPECT_EQ(found("p"), "P s t");
}

TEST_F(AwsCredentialChainTest, FixedOnesAreGivenAsTheyAre) {
  const auto source = make_fixed_aws_credentials(
      {.access_key_id = "F", .secret_access_key = "s", .session_token = {}, .expires = {}});
  source->renew();
  EXPECT_EQ(told(source->credentials()), "F s ");
}

TEST_F(AwsCredentialChainTest, TheContainerComesBeforeTheMachine) {
  be_an_instance("I");
  EXPECT_EQ(found(), "I sec tok");
  local_.answers["GET http://169.254.170.2/v2/x"] = {200, json_answer("C")};
  variables_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/x";
  EXPECT_EQ(found(), "C sec tok");
}

TEST_F(AwsCredentialChainTest, AreFetchedOnceAndAnewFiveMinutesBeforeTheyExpire) {
  be_an_instance("ONE");
  const auto source = chain();
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  be_an_instance("TWO", "2026-11-21T12:00:00Z");
  clock_.pass(54min);
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  EXPECT_THAT(local_.sent, SizeIs(3));
  clock_.pass(2min);
  EXPECT_EQ(told(source->credentials()), "TWO sec tok");
  be_an_instance("THREE", "2026-11-21T13:00:00Z");
  source->renew();
  EXPECT_EQ(told(source->credentials()), "THREE sec tok");
}

TEST_F(AwsCredentialChainTest, TheOldOnesServeWhileRenewalFailsUntilTheyHaveExpired) {
  be_an_instance("ONE");
  const auto source = chain();
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  local_.answers.clear();
  clock_.pass(56min);
  testing::internal::CaptureStderr();
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("could not be renewed"), Not(HasSubstr("sec "))));
  EXPECT_THAT(local_.sent, SizeIs(4));  // the second call waits for the half minute
  clock_.pass(5min);
  EXPECT_THAT(told(source->credentials()), StartsWith("unavailable"));
  be_an_instance("TWO", "2026-11-21T12:30:00Z");
  EXPECT_EQ(told(source->credentials()), "TWO sec tok");
}

TEST_F(AwsCredentialChainTest, WhatWasRefusedDoesNotServeAndWhatHasExpiredIsNotGiven) {
  be_an_instance("ONE");
  const auto source = chain();
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  source->renew();
  local_.answers.clear();
  EXPECT_THAT(told(source->credentials()), StartsWith("unavailable"));
  be_an_instance("OLD", "2026-11-21T09:59:00Z");
  EXPECT_THAT(told(source->credentials()), AllOf(StartsWith("failed"), HasSubstr("expired already")));
}

TEST_F(AwsCredentialChainTest, OneThreadFetchesWhileOthersWaitOrUseWhatIsGood) {
  be_an_instance("ONE");
  const auto source = chain();
  std::vector<std::jthread> threads;
  std::atomic<int> got{0};
  bool started = false;
  // The first request starts the others: none of them may send a second.
  local_.on_send = [&] {
    if (std::exchange(started, true)) return;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { got += told(source->credentials()) == "ONE sec tok" ? 1 : 0; });
    }
  };
  EXPECT_EQ(told(source->credentials()), "ONE sec tok");
  threads.clear();
  EXPECT_EQ(got, 4);
  EXPECT_THAT(local_.sent, SizeIs(3));

  clock_.pass(56min);
  std::string meanwhile;
  bool asked = false;
  local_.on_send = [&] {
    if (std::exchange(asked, true)) return;
    std::jthread([&] { meanwhile = told(source->credentials()); }).join();
  };
  be_an_instance("TWO", "2026-11-21T12:00:00Z");
  EXPECT_EQ(told(source->credentials()), "TWO sec tok");
  EXPECT_EQ(meanwhile, "ONE sec tok");
}

}  // namespace
}  // namespace pgstrata
