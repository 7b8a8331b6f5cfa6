// An object store in a bucket of any S3-compatible server.
//
// An object "a/b" is the key PREFIX/a/b. A journal's place is taken by objects put whole: there is none. What is written is
// durable and seen by all when the server has answered (Amazon S3 User Guide, "Amazon S3 data consistency model"); a server that
// answers before that is none to keep a repository on.
//
// Whether the server honours conditional writes is tried when the repository is made, and once by whoever opens it under
// another address, and noted in PREFIX/.store. Where it does not, put and create look first whether a name is taken, and
// replace compares before it writes: two writers at the same moment may both succeed (StoreCapabilities).
//
// What a writer wrote of an object that was never committed stays as an unfinished upload, which a rule of the bucket may
// remove after some days. Errors beside the contract's: not_found when the bucket itself is not there.
#pragma once

#include "storage/s3/s3_conditions.h"

namespace pgstrata {

class S3Store : public ObjectStore {
 public:
  // The clock is borrowed for the life of the store. Errors: not_found, with a hint, when there is no bucket, or nothing in it
  // below the prefix; permission; unavailable; those of S3Client::create.
  static Result<std::unique_ptr<S3Store>> open(const S3Location& location, S3ClientOptions options = {},
                                               const Clock& clock = system_clock());
  // The same where there is nothing yet. The bucket itself must be there.
  static Result<std::unique_ptr<S3Store>> open_or_make(const S3Location& location,
                                                       S3ClientOptions options = {},
                                                       const Clock& clock = system_clock());

  [[nodiscard]] StoreCapabilities capabilities() const override {
    return {.journals = false, .conditional_writes = conditional_.writes, .far = true};
  }
  // As it was given: what the environment says of it, whoever opens it anew finds there.
  [[nodiscard]] std::string describe() const override { return described_; }
  Result<AwsCredentials> credentials() { return client_->credentials(); }

  Result<void> put(std::string_view name, ByteView content) override;
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override;
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override;
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override;
  bool forget_copies(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  Result<ObjectInfo> stat(std::string_view name) override;
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override;
  Result<void> make_names_durable(std::string_view) override { return {}; }
  Result<void> remove(std::string_view name) override;
  // The version is the ETag.
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override;
  Result<VersionedObject> get_versioned(std::string_view name) override;

 private:
  S3Store(std::unique_ptr<S3Client> client, const S3Location& given, S3Conditions conditional);
  [[nodiscard]] std::string key_of(std::string_view name) const { return root_ + std::string(name); }
  Result<std::string> replace_unconditionally(std::string_view name,
                                              const std::optional<std::string>& expected, ByteView content);

  std::unique_ptr<S3Client> client_;
  const std::string root_;  // "" or "a/b/"
  const std::string described_;
  const S3Conditions conditional_;
};

}  // namespace pgstrata
