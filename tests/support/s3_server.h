// A real S3 server for tests: Ceph's radosgw 16.2. It checks signatures, the payload's SHA-256, Content-MD5 and
// object lock. Conditions on PUT hold in buckets without versions only (in others, those with object lock among
// them, they are ignored), and an If-Match on PUT has to have its ETag without quotes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/child_process.h"
#include "support/port_reservation.h"

namespace pgstrata::testing {

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
};

// What a server answered. Where the answer did not come, or not whole, `error` says why, `body` is what came
// of it, and `status` is 0 unless that much had come.
struct S3Answer {
  long status = 0;
  std::string body{};
  std::map<std::string, std::string> headers{};  // names in lower case
  std::string error{};
};

struct S3Request {
  std::string method = "GET";
  std::string url{};                   // whole; what is in its query sorted, and each name with a '='
  std::vector<std::string> headers{};  // "name: value"; signed
  std::string body{};                  // sent where the method is PUT or POST
  std::string ca_file{};               // whom to believe when it is https
  // Else each has a connection of its own. Over one that was kept, curl sends again by itself what gets no answer.
  bool keep_connection = false;
};

// Sends it with a signature (version 4, the payload unsigned unless x-amz-content-sha256 is among the headers)
// and waits 20 s at most. Thread-safe. For what a test wants to do or see beside the client it is about.
[[nodiscard]] S3Answer send_signed(const S3Request& request, const S3Credentials& as);

enum class WithObjectLock { no, yes };

// radosgw with all it stands on (a monitor, a store in memory) in a temporary folder and on ports of its own,
// so that any number may run at once. It takes 1 to 2 s to start, in the constructor, and its memory grows
// with what is stored. All its processes are killed by the destructor, or when the thread that made it ends;
// nothing outlives the server. Throws TestFailure when it does not start, with the end of the logs, and when
// it is not installed. Thread-safe once it is made.
class S3Server {
 public:
  // One for all tests of this process, made at first use, by a thread that has to live as long as it is used:
  // the main thread, that is.
  [[nodiscard]] static S3Server& shared();

  S3Server();
  ~S3Server();
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  // A new bucket of a new name, for owner() to use, and reader() to read and list. With object lock it is
  // versioned, and has no rule: objects are locked one by one.
  [[nodiscard]] std::string make_bucket(WithObjectLock lock = WithObjectLock::no) const;

  // "http://127.0.0.1:21234"; to name buckets by host, "BUCKET.s3.localhost" is known, too.
  [[nodiscard]] std::string endpoint() const;
  // The same buckets over TLS: "https://127.0.0.1:21235". Its certificate is for 127.0.0.1, localhost
  // and *.s3.localhost, by an authority of its own, whose certificate ca_file() is.
  [[nodiscard]] std::string tls_endpoint() const;
  [[nodiscard]] std::string ca_file() const { return home_.path() / "ca.pem"; }
  [[nodiscard]] int port() const { return port_.port(); }
  [[nodiscard]] static std::string region() { return "us-east-1"; }
  // That it may encrypt with (aws:kms).
  [[nodiscard]] static std::string kms_key() { return "test-key"; }

  // Of whoever the buckets belong to, of one who may read them, and of one whom they are nothing to. None of
  // them contains a character that would have to be escaped anywhere.
  [[nodiscard]] static S3Credentials owner() { return {"PGSOWNER", "owner-secret-key-0123456789"}; }
  [[nodiscard]] static S3Credentials reader() { return {"PGSREADER", "reader-secret-key-0123456789"}; }
  [[nodiscard]] static S3Credentials stranger() { return {"PGSSTRANGER", "stranger-secret-key-0123456789"}; }

  // As owner(), straight to this server; the target is "/bucket/key". Throws TestFailure when no answer comes.
  S3Answer request(const std::string& method, const std::string& target, const std::string& body = {},
                   const std::vector<std::string>& headers = {}) const;

 private:
  void write_configuration() const;
  void start();
  void make_users() const;
  [[nodiscard]] std::unique_ptr<ChildProcess> spawn(const std::vector<std::string>& arguments) const;
  void run(const std::vector<std::string>& arguments) const;
  void expect_success(const S3Answer& answer, const std::string& what) const;
  [[nodiscard]] std::string log_tails() const;

  TemporaryDirectory home_;
  PortReservation monitor_port_;
  PortReservation port_;
  PortReservation tls_port_;
  std::vector<std::unique_ptr<ChildProcess>> processes_;
};

}  // namespace pgstrata::testing
