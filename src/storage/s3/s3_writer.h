// An object being written to S3: one request when it is small, else parts, several of them on their way at a time. Private
// to this folder.
#pragma once

#include <deque>
#include <future>

#include "storage/s3/s3_conditions.h"

namespace pgstrata {

class S3Writer : public ObjectWriter {
 public:
  static constexpr std::size_t single_put_limit_bytes = 16U << 20;
  static constexpr std::size_t part_bytes = 8U << 20;
  static constexpr std::size_t parts_at_once = 3;

  // The client is borrowed. `name` is for messages.
  S3Writer(S3Client& client, std::string name, std::string key, S3Conditions conditional);
  // Ends an upload that was begun.
  ~S3Writer() override;

  Result<void> write(ByteView bytes) override;
  Result<void> commit() override;

 private:
  Result<void> take(ByteView bytes);
  Result<void> finish();
  Result<void> put_whole();
  Result<void> begin_part(Bytes content);
  Result<void> wait_for_parts(std::size_t left);
  Result<void> complete();
  void abort();
  std::unexpected<Error> give_up(Error error);

  S3Client& client_;
  const std::string name_;
  const std::string key_;
  const S3Conditions conditional_;
  const std::string mark_;
  Bytes unsent_;
  std::string upload_;  // empty before there is one
  std::vector<std::string> etags_;
  std::deque<std::future<Result<std::string>>> parts_;  // of the last ones, on their way
  int begun_parts_ = 0;
  std::optional<Error> failure_;
};

// Puts under a condition that the server honours. Returns the new ETag; nothing, when it did not hold.
Result<std::optional<std::string>> put_if(S3Client& client, const std::string& key, ByteView content,
                                          const S3Condition& condition, S3Kept kept = S3Kept::shortly);
// Puts a new object. Error: already_exists.
Result<void> put_new_object(S3Client& client, std::string_view name, const std::string& key, ByteView content,
                            bool conditional_writes, S3Kept kept = S3Kept::shortly);

}  // namespace pgstrata
