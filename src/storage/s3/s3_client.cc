#include "storage/s3/s3_client.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <random>

#include "base/log.h"
#include "codec/digest.h"
#include "net/url.h"
#include "storage/brief_attempts.h"
#include "storage/s3/s3_answer.h"

namespace pgstrata {
namespace {

// Smaller objects are billed as that much in the classes for what is read seldom.
constexpr std::uint64_t storage_class_min_bytes = 128U << 10;

// Servers refuse what is signed for another moment than within 15 min of theirs.
constexpr std::int64_t skew_limit_micros = 10LL * 60 * 1'000'000;

constexpr std::string_view mark_header = "x-amz-meta-pgstrata-mark";

std::string describe_key(const S3Location& location, std::string_view key) {
  return fmt::format("s3://{}/{}", location.bucket, key);
}

// "https://s3.eu-central-1.amazonaws.com"
std::string aws_origin(std::string_view region) {
  const std::string_view domain = region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return fmt::format("https://s3.{}.{}", region, domain);
}

std::string with_bucket(const std::string& origin, const std::string& bucket) {
  const std::size_t host = origin.find("://") + 3;
  return origin.substr(0, host) + bucket + "." + origin.substr(host);
}

std::uint64_t parse_size(std::string_view text) {
  std::uint64_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size);
  return size;
}

std::chrono::milliseconds random_pause(std::chrono::milliseconds longest) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<std::chrono::milliseconds::rep>(
      1, std::max<std::int64_t>(1, longest.count()))(random));
}

// What is not found is a setting's, and no repository.
Error of_settings(Error error) {
  if (error.code() != ErrorCode::not_found) return error;
  return Error(ErrorCode::usage, error.message()).with_hint(error.hint());
}

void add_condition(HttpRequest& request, const S3Condition& condition) {
  if (condition.must_not_exist) request.headers.push_back({"If-None-Match", "*"});
  if (!condition.etag.empty()) request.headers.push_back({"If-Match", condition.etag});
}

}  // namespace

S3Client::S3Client(S3Location location, S3ClientOptions options, const Clock& clock)
    : location_(std::move(location)),
      options_(std::move(options)),
      clock_(clock),
      bandwidth_(location_.bandwidth_bytes_per_second, clock),
      region_(location_.region) {}

S3Client::~S3Client() = default;

Result<std::unique_ptr<S3Client>> S3Client::create(const S3Location& given, S3ClientOptions options,
                                                   const Clock& clock) {
  S3Location location = given;
  auto loaded = AwsSettings::load(options.environment, location.profile);
  if (!loaded) return std::unexpected(of_settings(std::move(loaded).error()));
  AwsSettings settings = *std::move(loaded);
  if (location.endpoint.empty()) {
    if (const auto endpoint = settings.s3_endpoint()) {
      PGS_TRY(location.endpoint, parse_origin(*endpoint));
    }
  }
  if (location.region.empty()) location.region = settings.region().value_or("us-east-1");
  if (location.ca_file.empty())
    location.ca_file = settings.variable_or_setting("AWS_CA_BUNDLE", "ca_bundle").value_or("");
  if (!location.addressing) {
    const auto style = settings.profile().find("s3.addressing_style");
    const bool named = style != settings.profile().end() && style->second != "auto";
    // A certificate for *.s3.amazonaws.com is none for a name with dots in front of that.
    const bool by_host = named ? style->second == "virtual"
                               : location.endpoint.empty() && location.bucket.find('.') == std::string::npos;
    location.addressing = by_host ? S3Addressing::virtual_host : S3Addressing::path;
  }
  std::unique_ptr<S3Client> client(new S3Client(std::move(location), std::move(options), clock));
  auto http = HttpClient::create(
      {.silence_limit = client->options_.silence_limit, .ca_file = client->location_.ca_file});
  if (!http) return std::unexpected(of_settings(std::move(http).error()));
  client->http_ = *std::move(http);
  client->credentials_ = client->options_.credentials
                             ? make_fixed_aws_credentials(*client->options_.credentials)
                             : make_aws_credential_chain(std::move(settings), *client->http_, clock);
  return client;
}

std::string S3Client::region() const {
  const std::lock_guard lock(mutex_);
  return region_;
}

void S3Client::address(HttpRequest& request, const std::string& key) const {
  request.origin = location_.endpoint.empty() ? aws_origin(region()) : location_.endpoint;
  request.path = "/" + url_encode_path(key);
  if (location_.addressing == S3Addressing::virtual_host) {
    request.origin = with_bucket(request.origin, location_.bucket);
  } else {
    request.path = "/" + url_encode(location_.bucket) + request.path;
  }
}

void S3Client::add_storage_headers(HttpRequest& request, S3Kept kept, std::uint64_t size_bytes) const {
  if (!location_.storage_class.empty() && kept == S3Kept::lastingly &&
      size_bytes >= storage_class_min_bytes) {
    request.headers.push_back({"x-amz-storage-class", location_.storage_class});
  }
  if (!location_.encryption.empty()) {
    request.headers.push_back({"x-amz-server-side-encryption", location_.encryption});
  }
  if (!location_.kms_key.empty()) {
    request.headers.push_back({"x-amz-server-side-encryption-aws-kms-key-id", location_.kms_key});
  }
}

Result<HttpAnswer> S3Client::send_once(HttpRequest request, const std::string& digest) {
  PGS_TRY(const AwsCredentials credentials, credentials_->credentials());
  const Timestamp now = clock_.now() + std::chrono::microseconds(clock_offset_micros_.load());
  sign_aws_request(request, credentials, {.region = region(), .service = "s3", .time = now}, digest);
  bandwidth_.take(request.body.size() + request.into.size());
  auto answer = http_->send(request);
  if (answer) bandwidth_.take(answer->body.size());
  return answer;
}

// Whether the request is worth another try at once, because of what the answer taught us.
bool S3Client::adapt(const HttpAnswer& answer, int tries) {
  constexpr int tries_max = 3;
  if (answer.ok() || tries > tries_max) return false;
  const S3Problem problem = parse_s3_problem(answer);
  // An answer to HEAD has no body that would say why.
  const bool may_be_skewed = answer.status == status_forbidden && problem.code.empty();
  if (problem.code == "RequestTimeTooSkewed" || may_be_skewed) {
    const Timestamp server = parse_http_date(std::string(answer.header("date")));
    if (!server.valid()) return false;
    const std::int64_t offset = (server - clock_.now()).count();
    if (may_be_skewed && std::abs(offset - clock_offset_micros_) < skew_limit_micros) return false;
    clock_offset_micros_ = offset;
    return true;
  }
  if (problem.code == "ExpiredToken" || problem.code == "TokenRefreshRequired" ||
      problem.code == "InvalidToken") {
    if (tries > 1) return false;
    credentials_->renew();
    return true;
  }
  const bool elsewhere = answer.status == 301 || answer.status == 307 || answer.status == 400;
  if (elsewhere && !problem.region.empty()) {
    const std::lock_guard lock(mutex_);
    if (problem.region == region_) return false;
    region_ = problem.region;
    return true;
  }
  return false;
}

std::chrono::milliseconds S3Client::patience() const {
  const bool stopping = options_.cancellation != nullptr && options_.cancellation->requested();
  return std::min({options_.patience, answered_ ? options_.patience : options_.first_patience,
                   stopping ? options_.stopping_patience : options_.patience,
                   BriefAttempts::limit().value_or(options_.patience)});
}

void S3Client::wait(std::chrono::milliseconds pause) const {
  const bool stopping = options_.cancellation == nullptr || options_.cancellation->requested();
  // A request to stop wakes who waits, once.
  if (stopping) {
    std::this_thread::sleep_for(pause);
  } else {
    options_.cancellation->wait_for(pause);
  }
}

Result<HttpAnswer> S3Client::send(const std::string& key, const HttpRequest& request) {
  return send(key, request, sha256(request.body));
}

Result<HttpAnswer> S3Client::send(const std::string& key, const HttpRequest& request, const Sha256& digest) {
  const SteadyTime begun = clock_.steady();
  std::chrono::milliseconds longest = options_.first_pause;
  for (int tries = 1;; ++tries) {
    HttpRequest once = request;
    address(once, key);
    auto answer = send_once(std::move(once), to_hex(digest));
    if (!answer && answer.error().code() != ErrorCode::unavailable)
      return std::unexpected(std::move(answer).error());
    if (answer) {
      answered_ = true;
      if (adapt(*answer, tries)) continue;
      if (!is_passing(*answer, parse_s3_problem(*answer))) {
        return answer;
      }
    }
    const auto pause = random_pause(longest);
    if (clock_.steady() + pause >= begun + patience()) return answer;
    log_debug("{} {}: {}; once more in {} ms", request.method, describe_key(location_, key),
              answer ? parse_s3_problem(*answer).describe(answer->status) : answer.error().describe(),
              pause.count());
    wait(pause);
    longest = std::min(longest * 2, options_.longest_pause);
  }
}

namespace {

HttpRequest request_of(std::string method) {
  HttpRequest request;
  request.method = std::move(method);
  return request;
}

S3Client::PutOutcome outcome_of(const HttpAnswer& answer, bool had_condition, bool& known) {
  known = true;
  if (answer.ok()) return {.written = S3Client::Written::done, .etag = std::string(answer.header("etag"))};
  if (had_condition) {
    // If-Match on what is not there is answered with 404 as well.
    const bool missing = answer.status == status_not_found && parse_s3_problem(answer).code == "NoSuchKey";
    if (answer.status == status_precondition_failed || missing) {
      return {.written = S3Client::Written::condition_failed, .etag = {}};
    }
    if (answer.status == status_not_implemented) {
      return {.written = S3Client::Written::condition_not_supported, .etag = {}};
    }
  }
  known = false;
  return {};
}

}  // namespace

Result<S3Client::PutOutcome> S3Client::put(const std::string& key, ByteView content,
                                           const S3Condition& condition, const std::string& mark,
                                           S3Kept kept) {
  HttpRequest request = request_of("PUT");
  request.body = content;
  add_condition(request, condition);
  add_storage_headers(request, kept, content.size());
  if (!mark.empty()) request.headers.push_back({std::string(mark_header), mark});
  const Sha256 digest = sha256(content);
  request.headers.push_back({"x-amz-checksum-sha256", to_base64(digest)});
  PGS_TRY(const HttpAnswer answer, send(key, request, digest));
  bool known = false;
  PutOutcome outcome = outcome_of(answer, condition.must_not_exist || !condition.etag.empty(), known);
  if (!known) return std::unexpected(s3_error(answer, "write " + describe_key(location_, key)));
  return outcome;
}

Result<S3Object> S3Client::get(const std::string& key, std::uint64_t limit_bytes) {
  HttpRequest request = request_of("GET");
  request.body_limit_bytes = std::max<std::uint64_t>(limit_bytes, request.body_limit_bytes);
  PGS_TRY(HttpAnswer answer, send(key, request));
  if (!answer.ok()) return std::unexpected(s3_error(answer, "read " + describe_key(location_, key)));
  PGS_CHECK(check_object_size(key, answer.size_bytes, limit_bytes));
  return S3Object{.content = std::move(answer.body), .etag = std::string(answer.header("etag"))};
}

Result<std::size_t> S3Client::read(const std::string& key, std::uint64_t offset, MutableByteView into) {
  // What S3 counts with is signed.
  constexpr std::uint64_t last_offset = std::numeric_limits<std::int64_t>::max();
  const std::uint64_t from = std::min(offset, last_offset);
  const std::uint64_t to = std::min(last_offset, from + into.size() - 1);
  HttpRequest request = request_of("GET");
  request.headers.push_back({"Range", fmt::format("bytes={}-{}", from, to)});
  request.into = into;
  PGS_TRY(const HttpAnswer answer, send(key, request));
  if (answer.status == status_range_not_satisfiable) return 0;
  if (!answer.ok()) return std::unexpected(s3_error(answer, "read " + describe_key(location_, key)));
  if (answer.status != status_partial) {
    return fail(ErrorCode::unsupported, "the server of {} does not give parts of an object",
                describe_key(location_, key));
  }
  return static_cast<std::size_t>(answer.size_bytes);
}

Result<S3Client::Metadata> S3Client::head(const std::string& key) {
  PGS_TRY(const HttpAnswer answer, send(key, request_of("HEAD")));
  if (!answer.ok()) return std::unexpected(s3_error(answer, "look at " + describe_key(location_, key)));
  return Metadata{.info = {.name = key,
                           .size_bytes = parse_size(answer.header("content-length")),
                           .modified = parse_http_date(std::string(answer.header("last-modified")))},
                  .etag = std::string(answer.header("etag")),
                  .mark = std::string(answer.header(mark_header))};
}

Result<void> S3Client::remove(const std::string& key) {
  PGS_TRY(const HttpAnswer answer, send(key, request_of("DELETE")));
  const bool gone = answer.status == status_not_found && parse_s3_problem(answer).code != "NoSuchBucket";
  if (answer.ok() || gone) return {};
  return std::unexpected(s3_error(answer, "remove " + describe_key(location_, key)));
}

Result<S3ListingPage> S3Client::list(const std::string& prefix, const std::string& after, std::size_t limit) {
  constexpr std::uint64_t listing_limit_bytes = 16U << 20;
  constexpr std::size_t page_limit = 1000;
  HttpRequest request = request_of("GET");
  request.query = {
      {"list-type", "2"}, {"prefix", prefix}, {"max-keys", std::to_string(std::min(limit, page_limit))}};
  if (!after.empty()) request.query.emplace_back("start-after", after);
  request.body_limit_bytes = listing_limit_bytes;
  PGS_TRY(const HttpAnswer answer, send("", request));
  if (!answer.ok()) return std::unexpected(s3_error(answer, "list " + describe_key(location_, prefix)));
  return parse_s3_listing(answer.body);
}

Result<std::string> S3Client::begin_upload(const std::string& key, const std::string& mark) {
  HttpRequest request = request_of("POST");
  request.query = {{"uploads", ""}};
  add_storage_headers(request, S3Kept::lastingly, storage_class_min_bytes);
  request.headers.push_back({std::string(mark_header), mark});
  PGS_TRY(const HttpAnswer answer, send(key, request));
  if (!answer.ok()) return std::unexpected(s3_error(answer, "write " + describe_key(location_, key)));
  return parse_upload_id(answer.body);
}

Result<std::string> S3Client::upload_part(const std::string& key, const std::string& upload, int number,
                                          ByteView content) {
  HttpRequest request = request_of("PUT");
  request.query = {{"partNumber", std::to_string(number)}, {"uploadId", upload}};
  request.body = content;
  PGS_TRY(const HttpAnswer answer, send(key, request));
  if (!answer.ok()) return std::unexpected(s3_error(answer, "write " + describe_key(location_, key)));
  return std::string(answer.header("etag"));
}

Result<S3Client::PutOutcome> S3Client::complete_upload(const std::string& key, const std::string& upload,
                                                       const std::vector<std::string>& etags,
                                                       const S3Condition& condition) {
  std::string parts;
  for (std::size_t i = 0; i < etags.size(); ++i) {
    parts += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, etags[i]);
  }
  const std::string body = fmt::format(
      "<CompleteMultipartUpload "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</CompleteMultipartUpload>",
      parts);
  HttpRequest request = request_of("POST");
  request.query = {{"uploadId", upload}};
  request.body = as_byte_view(body);
  add_condition(request, condition);
  PGS_TRY(HttpAnswer answer, send(key, request));
  bool known = false;
  PutOutcome outcome = outcome_of(answer, condition.must_not_exist, known);
  // It may be told only in the body that it failed after all: the answer was begun before it was done.
  const S3Problem problem = parse_s3_problem(answer);
  if (!known || (answer.ok() && !problem.code.empty())) {
    return std::unexpected(s3_error(answer, "write " + describe_key(location_, key)));
  }
  return outcome;
}

Result<void> S3Client::abort_upload(const std::string& key, const std::string& upload) {
  HttpRequest request = request_of("DELETE");
  request.query = {{"uploadId", upload}};
  PGS_TRY(const HttpAnswer answer, send(key, request));
  if (answer.ok() || answer.status == status_not_found) return {};
  return std::unexpected(s3_error(answer, "give up writing " + describe_key(location_, key)));
}

}  // namespace pgstrata
