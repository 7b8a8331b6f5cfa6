// The requests of the S3 API that a store needs (Amazon S3 API Reference), signed, and repeated where that may help.
//
// A request may be repeated although an earlier try of it was done after all, by this and by libcurl: a condition may
// have failed because of what we did ourselves. The mark that a writer puts beside an object tells.
// Answers of 500, 502, 503, 504, 429, lost connections and the like are waited out with growing, random pauses, for as
// long as S3ClientOptions says; a clock that is off is made up for; a bucket of another region is asked there.
//
// Keys are whole, from the bucket's root. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "codec/digest.h"
#include "net/aws/aws_credential_chain.h"
#include "storage/object_store.h"
#include "storage/s3/bandwidth_limit.h"
#include "storage/s3/s3_location.h"

namespace pgstrata {

struct S3ClientOptions {
  // How long a request is repeated before its last error is said; as long as the server has never answered, an
  // address may be wrong, and that is to be told soon.
  std::chrono::milliseconds patience = std::chrono::seconds(60);
  std::chrono::milliseconds first_patience = std::chrono::seconds(5);
  // Borrowed: once it is requested, no more than this. What is to be finished before a stop still can be.
  const Cancellation* cancellation = nullptr;
  std::chrono::milliseconds stopping_patience = std::chrono::seconds(5);
  std::chrono::milliseconds first_pause{50};
  std::chrono::milliseconds longest_pause = std::chrono::seconds(5);
  std::chrono::seconds silence_limit{20};  // of one request (net/http_client.h)
  EnvironmentLookup environment = process_environment;
  // In the place of those that are found (net/aws/aws_credential_chain.h).
  std::optional<AwsCredentials> credentials = {};
};

// At most one of them.
struct S3Condition {
  bool must_not_exist = false;  // If-None-Match: *
  std::string etag = {};        // If-Match; empty: none
};

// Tails of WAL and leases live for minutes: the storage class that was asked for is none for them.
enum class S3Kept : std::uint8_t { shortly, lastingly };

struct S3Object {
  Bytes content;
  std::string etag;
};

struct S3ListingPage {
  std::vector<ObjectInfo> objects;  // names are whole keys
  bool more = false;
};

class S3Client {
 public:
  // No request is made yet. Errors: usage, not_found and permission of settings, CA file and profile.
  static Result<std::unique_ptr<S3Client>> create(const S3Location& location, S3ClientOptions options,
                                                  const Clock& clock);
  ~S3Client();

  // The region and endpoint that were found, for messages and for who opens the same place elsewhere.
  [[nodiscard]] const S3Location& location() const { return location_; }
  // How we sign, for a process that cannot find it out by itself. Errors: those of AwsCredentialSource.
  Result<AwsCredentials> credentials() { return credentials_->credentials(); }

  enum class Written : std::uint8_t { done, condition_failed, condition_not_supported };
  struct PutOutcome {
    Written written = Written::done;
    std::string etag;  // when done
  };
  // `mark` is kept beside the object (Metadata::mark), where there is one. Error: not_found, when the bucket is not there, here and below.
  Result<PutOutcome> put(const std::string& key, ByteView content, const S3Condition& condition,
                         const std::string& mark = {}, S3Kept kept = S3Kept::shortly);

  // Errors: not_found; damaged, when it is larger.
  Result<S3Object> get(const std::string& key, std::uint64_t limit_bytes);
  // As ObjectStore::read_some; `into` is not empty.
  Result<std::size_t> read(const std::string& key, std::uint64_t offset, MutableByteView into);

  struct Metadata {
    ObjectInfo info;
    std::string etag;
    std::string mark;
  };
  Result<Metadata> head(const std::string& key);
  Result<void> remove(const std::string& key);
  // Up to 1,000 keys that begin with `prefix` and sort after `after`.
  Result<S3ListingPage> list(const std::string& prefix, const std::string& after, std::size_t limit);

  // A multipart upload: parts from 1 on, each but the last of 5 MiB and more, in any order and from any thread.
  Result<std::string> begin_upload(const std::string& key, const std::string& mark);  // its id
  Result<std::string> upload_part(const std::string& key, const std::string& upload, int number,
                                  ByteView content);  // its ETag
  Result<PutOutcome> complete_upload(const std::string& key, const std::string& upload,
                                     const std::vector<std::string>& etags, const S3Condition& condition);
  Result<void> abort_upload(const std::string& key, const std::string& upload);

 private:
  S3Client(S3Location location, S3ClientOptions options, const Clock& clock);

  // The answer once it is none of those that a repetition may change.
  Result<HttpAnswer> send(const std::string& key, const HttpRequest& request);
  Result<HttpAnswer> send(const std::string& key, const HttpRequest& request, const Sha256& digest);
  Result<HttpAnswer> send_once(HttpRequest request, const std::string& digest);
  bool adapt(const HttpAnswer& answer, int tries);
  [[nodiscard]] std::chrono::milliseconds patience() const;
  void wait(std::chrono::milliseconds pause) const;
  void address(HttpRequest& request, const std::string& key) const;
  void add_storage_headers(HttpRequest& request, S3Kept kept, std::uint64_t size_bytes) const;
  std::string region() const;

  S3Location location_;
  const S3ClientOptions options_;
  const Clock& clock_;
  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<AwsCredentialSource> credentials_;
  BandwidthLimit bandwidth_;
  std::atomic<bool> answered_ = false;
  std::atomic<std::int64_t> clock_offset_micros_ = 0;  // the server's clock less ours
  mutable std::mutex mutex_;
  std::string region_;  // guarded by mutex_
};

}  // namespace pgstrata
