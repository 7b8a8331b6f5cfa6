#include "support/s3_server.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <string_view>

#include <curl/curl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "support/test_failure.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

constexpr auto s3_start_limit = std::chrono::seconds(60);

// No authentication inside, as little waiting as the monitor can do, one copy of everything, and nothing that
// looks after the cluster in the background. Without the modes, radosgw insists on encryption, which needs keys.
constexpr std::string_view ceph_settings = R"([global]
fsid = {fsid}
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind msgr1 = false
ms bind port min = 30000
ms bind port max = 32700
ms initial backoff = 0.02
ms max backoff = 0.1
public addr = 127.0.0.1
cluster addr = 127.0.0.1
mon data = {home}/mon
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 34359738368
paxos propose interval = 0.001
paxos min wait = 0.001
mon allow pool size one = true
mon data avail crit = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class update on start = false
osd crush update on start = false
log file = {home}/$name.log
mon cluster log file =
log to stderr = false
err to stderr = false
run dir = {home}
crash dir = {home}
admin socket =
rgw frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} ssl_certificate={home}/server.pem ssl_private_key={home}/server.key
rgw dns name = s3.localhost
rgw thread pool size = 64
rgw run sync thread = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = test-key=dGhpcnR5LXR3by1ieXRlcy1mb3ItYS10ZXN0LWtleSE=
[mon.a]
host = localhost
mon addr = v2:127.0.0.1:{monitor_port}
)";

constexpr std::string_view make_certificates = R"(
new="openssl req -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
$new -keyout ca.key -out ca.pem -subj "/CN=pgstrata test authority" &&
$new -keyout server.key -out server.pem -subj /CN=localhost -CA ca.pem -CAkey ca.key \
  -addext basicConstraints=critical,CA:FALSE \
  -addext subjectAltName=DNS:localhost,DNS:s3.localhost,DNS:*.s3.localhost,IP:127.0.0.1
)";

constexpr std::string_view reader_policy = R"({{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow",
"Principal": {{"AWS": ["arn:aws:iam:::user/reader"]}}, "Action": ["s3:GetObject", "s3:GetObjectVersion",
"s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetObjectRetention"],
"Resource": ["arn:aws:s3:::{0}", "arn:aws:s3:::{0}/*"]}}]}})";

std::string s3_program(std::string_view name) {
  std::string path = fmt::format("/usr/bin/{}", name);
  if (access(path.c_str(), X_OK) != 0)
    throw TestFailure(fmt::format("{} is not installed: run scripts/install-packages test", path));
  return path;
}

std::string new_cluster_id() {
  std::string uuid = read_text("/proc/sys/kernel/random/uuid");
  uuid.resize(36);
  return uuid;
}

size_t take_body(char* data, size_t, size_t size, void* answer) {
  static_cast<S3Answer*>(answer)->body.append(data, size);
  return size;
}

size_t take_header(char* data, size_t, size_t size, void* answer) {
  const std::string_view line(data, size);
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  value.remove_suffix(value.size() - (value.find_last_not_of("\r\n ") + 1));
  static_cast<S3Answer*>(answer)->headers[name] = value;
  return size;
}

}  // namespace

S3Answer send_signed(const S3Request& request, const S3Credentials& as) {
  thread_local const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle{curl_easy_init(),
                                                                                &curl_easy_cleanup};
  CURL* const curl = handle.get();
  curl_easy_reset(curl);
  const auto has = [&](std::string_view name) {
    return std::ranges::any_of(request.headers, [&](const auto& header) { return header.starts_with(name); });
  };
  curl_slist* headers = nullptr;
  for (const auto& header : request.headers) headers = curl_slist_append(headers, header.c_str());
  if (!has("x-amz-content-sha256"))
    headers = curl_slist_append(headers, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
  S3Answer answer;
  const std::string user = as.access_key + ":" + as.secret_key;
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_USERPWD, user.c_str());
  curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (request.method == "PUT" || request.method == "POST") {
    if (!has("Content-Type")) headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, request.keep_connection ? 0L : 1L);
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, request.keep_connection ? 0L : 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
  if (!request.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, request.ca_file.c_str());
  const CURLcode result = curl_easy_perform(curl);
  if (result != CURLE_OK) answer.error = curl_easy_strerror(result);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_slist_free_all(headers);
  return answer;
}

S3Server& S3Server::shared() {
  static S3Server server;
  return server;
}

S3Server::S3Server() {
  write_configuration();
  start();
  make_users();
  // The first bucket and the first object make the pools that they are kept in.
  expect_success(request("PUT", "/" + make_bucket() + "/first", "x"), "store a first object");
}

S3Server::~S3Server() = default;

std::string S3Server::make_bucket(WithObjectLock lock) const {
  static std::atomic<int> made = 0;
  std::string bucket = fmt::format("bucket-{}", ++made);
  std::vector<std::string> headers;
  if (lock == WithObjectLock::yes) headers.emplace_back("x-amz-bucket-object-lock-enabled: true");
  expect_success(request("PUT", "/" + bucket, {}, headers), "make a bucket");
  expect_success(request("PUT", "/" + bucket + "?policy=", fmt::format(fmt::runtime(reader_policy), bucket)),
                 "set the policy of a bucket");
  return bucket;
}

std::string S3Server::endpoint() const {
  return fmt::format("http://127.0.0.1:{}", port_.port());
}

std::string S3Server::tls_endpoint() const {
  return fmt::format("https://127.0.0.1:{}", tls_port_.port());
}

S3Answer S3Server::request(const std::string& method, const std::string& target, const std::string& body,
                           const std::vector<std::string>& headers) const {
  auto answer =
      send_signed({.method = method, .url = endpoint() + target, .headers = headers, .body = body}, owner());
  if (!answer.error.empty()) {
    throw TestFailure(
        fmt::format("{} {} of the S3 server: {}\n{}", method, target, answer.error, log_tails()));
  }
  return answer;
}

void S3Server::write_configuration() const {
  (void)home_.write(
      "ceph.conf",
      fmt::format(fmt::runtime(ceph_settings), fmt::arg("fsid", new_cluster_id()),
                  fmt::arg("home", home_.path().string()), fmt::arg("port", port_.port()),
                  fmt::arg("tls_port", tls_port_.port()), fmt::arg("monitor_port", monitor_port_.port())));
  (void)home_.make("osd");
  (void)home_.make("mon");
}

void S3Server::start() {
  const auto home = home_.path().string();
  const auto monitor = s3_program("ceph-mon");
  const auto store = s3_program("ceph-osd");
  const auto gateway = s3_program("radosgw");
  (void)s3_program("openssl");

  const auto keys = spawn({"/bin/sh", "-c", fmt::format("cd {} && {}", home, make_certificates)});
  // A map that has the store in it from the beginning saves asking the monitor for it, by a program that takes
  // half a second to start.
  run({s3_program("osdmaptool"), "--createsimple", "1", "--clobber", home + "/osdmap"});
  run({monitor, "--mkfs", "-i", "a", "--osdmap", home + "/osdmap"});
  if (keys->wait(s3_start_limit) != 0) throw TestFailure("openssl failed\n" + log_tails());
  processes_.push_back(spawn({monitor, "-f", "-i", "a"}));
  processes_.push_back(spawn({gateway, "-f", "-n", "client.gateway"}));
  run({store, "--mkfs", "-i", "0"});
  processes_.push_back(spawn({store, "-f", "-i", "0"}));

  const auto settled = [&] {
    const bool ended = std::ranges::any_of(processes_, [](auto& process) { return !process->running(); });
    if (ended) throw TestFailure("the S3 server ended while starting");
    return send_signed({.url = endpoint()}, owner()).status != 0;
  };
  try {
    wait_until("the S3 server to answer", settled, s3_start_limit);
  } catch (const TestFailure& failure) {
    throw TestFailure(fmt::format("{}\n{}", failure.what(), log_tails()));
  }
}

void S3Server::make_users() const {
  // One by a program that takes a third of a second, the others by the first.
  run({s3_program("radosgw-admin"), "-n", "client.gateway", "user", "create", "--uid=owner",
       "--display-name=owner", "--caps=users=*", "--max-buckets=0", "--access-key=" + owner().access_key,
       "--secret-key=" + owner().secret_key});
  const auto make = [&](std::string_view name, const S3Credentials& keys) {
    const auto target = fmt::format("/admin/user?access-key={}&display-name={}&secret-key={}&uid={}",
                                    keys.access_key, name, keys.secret_key, name);
    expect_success(request("PUT", target), "make a user");
  };
  make("reader", reader());
  make("stranger", stranger());
}

std::unique_ptr<ChildProcess> S3Server::spawn(const std::vector<std::string>& arguments) const {
  return std::make_unique<ChildProcess>(
      ChildCommand{.arguments = arguments,
                   .environment = {{"CEPH_CONF", home_.path() / "ceph.conf"}, {"CEPH_ARGS", ""}},
                   .output = home_.path() / "output.log",
                   .errors = home_.path() / "output.log"});
}

void S3Server::run(const std::vector<std::string>& arguments) const {
  if (const int code = spawn(arguments)->wait(s3_start_limit); code != 0)
    throw TestFailure(
        fmt::format("{} failed with exit code {}\n{}", fmt::join(arguments, " "), code, log_tails()));
}

void S3Server::expect_success(const S3Answer& answer, const std::string& what) const {
  if (answer.status >= 200 && answer.status < 300) return;
  throw TestFailure(fmt::format("the S3 server did not {}: {} {}", what, answer.status, answer.body));
}

std::string S3Server::log_tails() const {
  std::string tails;
  for (const auto* name : {"output", "mon.a", "osd.0", "client.gateway"}) {
    const std::string text = read_text(home_.path() / fmt::format("{}.log", name));
    tails +=
        fmt::format("{}.log ends:\n{}\n", name, text.substr(text.size() - std::min(text.size(), 2000UL)));
  }
  return tails;
}

}  // namespace pgstrata::testing
