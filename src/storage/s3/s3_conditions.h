// Which conditional writes a server honours: tried, never believed. Private to this folder.
//
// Noted in the object ".store" beside a repository's own, as JSON: {"version": 1, "place": "https://server/bucket" or "aws/bucket",
// "conditional_writes": true, "bare_etags": false, "conditional_uploads": false}. It counts only for the place that it names.
#pragma once

#include <optional>

#include "storage/s3/s3_client.h"

namespace pgstrata {

struct S3Conditions {
  bool writes = false;  // PUT with If-None-Match and If-Match
  bool bare_etags =
      false;  // the latter without the quotes of the ETag: so Ceph's before 20, and DigitalOcean Spaces
  bool uploads = false;  // CompleteMultipartUpload with If-None-Match

  // "Write if it is still the one of this ETag."
  [[nodiscard]] S3Condition still(const std::string& etag) const;
};

// What the note below `root` ("" or "a/b/") says of this place; nothing where there is none.
Result<std::optional<S3Conditions>> noted_conditions(S3Client& client, const std::string& root);
// Tries them with an object of its own, which is removed.
Result<S3Conditions> try_conditions(S3Client& client, const std::string& root);
Result<void> note_conditions(S3Client& client, const std::string& root, const S3Conditions& conditions);

}  // namespace pgstrata
