#include "net/aws/aws_credential_chain.h"

#include <condition_variable>
#include <mutex>

#include <fmt/ranges.h>

#include "base/log.h"
#include "net/aws/aws_credential_sources.h"

namespace pgstrata {
namespace {

constexpr auto renewed_before_end = std::chrono::minutes(5);
constexpr auto tried_again_after = std::chrono::seconds(30);

class FixedCredentials final : public AwsCredentialSource {
 public:
  explicit FixedCredentials(AwsCredentials credentials) : credentials_(std::move(credentials)) {}
  Result<AwsCredentials> credentials() override { return credentials_; }
  void renew() override {}

 private:
  const AwsCredentials credentials_;
};

class CredentialChain final : public AwsCredentialSource {
 public:
  CredentialChain(AwsSettings settings, AwsCredentialClients clients, const Clock& clock,
                  std::unique_ptr<HttpClient> own_client = nullptr)
      : settings_(std::move(settings)),
        own_client_(std::move(own_client)),
        clients_(clients),
        clock_(clock) {}

  Result<AwsCredentials> credentials() override;
  void renew() override;

 private:
  Result<AwsCredentials> fetch(bool had_any);
  bool expires_within(std::chrono::microseconds span) const {
    return held_->expires.valid() && held_->expires - clock_.now() <= span;
  }
  Result<AwsCredentials> take_fetched(Result<AwsCredentials> fetched, std::string& warning);

  const AwsSettings settings_;
  const std::unique_ptr<HttpClient> own_client_;  // what clients_.local is, where nobody gave one
  const AwsCredentialClients clients_;
  const Clock& clock_;

  std::mutex mutex_;  // held for no fetch; guards what follows
  std::condition_variable fetched_;
  bool fetching_ = false;
  std::uint64_t fetches_ = 0;  // that have ended
  std::optional<AwsCredentials> held_;
  bool had_any_ = false;
  SteadyTime next_try_{};                       // of a renewal, while what is held is still good
  std::optional<Result<AwsCredentials>> last_;  // how the last fetch ended
};

Result<AwsCredentials> CredentialChain::fetch(bool had_any) {
  std::vector<std::string> absent;
  const AwsCredentialSearch search{
      .settings = settings_, .clients = clients_, .clock = clock_, .absent = absent};
  using Source = FoundAwsCredentials (*)(const AwsCredentialSearch&);
  std::vector<Source> sources;
  if (!settings_.profile_was_asked_for())
    sources = {environment_aws_credentials, web_identity_aws_credentials};
  sources.insert(sources.end(),
                 {profile_aws_credentials, container_aws_credentials, instance_aws_credentials});
  for (const Source source : sources) {
    PGS_TRY(auto found, source(search));
    if (found) return *std::move(found);
  }
  // What gave some before has not ceased to be: it does not answer now.
  return std::unexpected(
      make_error(had_any ? ErrorCode::unavailable : ErrorCode::permission, "there are no AWS credentials: {}",
                 fmt::join(absent, ", "))
          .with_hint(
              "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or make a profile with \"aws configure\" "
              "and name it with AWS_PROFILE."));
}

Result<AwsCredentials> CredentialChain::credentials() {
  std::unique_lock lock(mutex_);
  const bool good = held_ && !expires_within({});
  if (good && (fetching_ || !expires_within(renewed_before_end) || clock_.steady() < next_try_))
    return *held_;
  if (fetching_) {
    const std::uint64_t awaited = fetches_ + 1;
    fetched_.wait(lock, [&] { return fetches_ >= awaited; });
    return *last_;
  }
  fetching_ = true;
  const bool had_any = had_any_;
  lock.unlock();
  auto fetched = fetch(had_any);
  lock.lock();
  std::string warning;
  auto outcome = take_fetched(std::move(fetched), warning);
  fetching_ = false;
  ++fetches_;
  last_ = outcome;
  lock.unlock();
  fetched_.notify_all();
  if (!warning.empty()) log(Severity::warning, warning);
  return outcome;
}

Result<AwsCredentials> CredentialChain::take_fetched(Result<AwsCredentials> fetched, std::string& warning) {
  if (fetched.has_value()) {
    held_ = *fetched;
    had_any_ = true;
    next_try_ = clock_.steady() + tried_again_after;
    if (!expires_within({})) return fetched;
    held_.reset();
    return fail(ErrorCode::failed, "the AWS credentials that were fetched have expired already");
  }
  if (!held_ || expires_within({})) {
    held_.reset();
    return fetched;
  }
  next_try_ = clock_.steady() + tried_again_after;
  warning = fmt::format("AWS credentials could not be renewed, those there are serve until {}: {}",
                        held_->expires, fetched.error().describe());
  return *held_;
}

void CredentialChain::renew() {
  const std::lock_guard lock(mutex_);
  held_.reset();  // where others are being fetched already, the next call waits for these
}

}  // namespace

HttpClientOptions aws_local_http_options() {
  return {.connect_limit = std::chrono::seconds(1),
          .silence_limit = std::chrono::seconds(2),
          .ca_file = {},
          .past_proxies = true};
}

std::unique_ptr<AwsCredentialSource> make_aws_credential_chain(AwsSettings settings,
                                                               AwsCredentialClients clients,
                                                               const Clock& clock) {
  return std::make_unique<CredentialChain>(std::move(settings), clients, clock);
}

std::unique_ptr<AwsCredentialSource> make_aws_credential_chain(AwsSettings settings, HttpClient& http,
                                                               const Clock& clock) {
  auto created = HttpClient::create(aws_local_http_options());
  std::unique_ptr<HttpClient> local = created.has_value() ? *std::move(created) : nullptr;
  const AwsCredentialClients clients{.aws = http, .local = local ? *local : http};
  return std::make_unique<CredentialChain>(std::move(settings), clients, clock, std::move(local));
}

std::unique_ptr<AwsCredentialSource> make_fixed_aws_credentials(AwsCredentials credentials) {
  return std::make_unique<FixedCredentials>(std::move(credentials));
}

}  // namespace pgstrata
