// For this folder's tests: places in the real server of tests/support/s3_server.h.
#pragma once

#include "storage/s3/s3_store.h"
#include "support/s3_server.h"

namespace pgstrata {

inline AwsCredentials credentials_of(const testing::S3Credentials& user) {
  return {.access_key_id = user.access_key,
          .secret_access_key = user.secret_key,
          .session_token = {},
          .expires = {}};
}

// Little patience, and nothing of the machine's own settings.
inline S3ClientOptions test_options(const testing::S3Credentials& user = testing::S3Server::owner()) {
  return {.patience = std::chrono::seconds(5),
          .first_pause = std::chrono::milliseconds(5),
          .longest_pause = std::chrono::milliseconds(50),
          .environment = [](const std::string&) { return std::optional<std::string>(); },
          .credentials = credentials_of(user)};
}

// A new bucket, asked for at `endpoint`.
inline S3Location new_place(const std::string& endpoint = testing::S3Server::shared().endpoint(),
                            const std::string& prefix = "pre fix/app") {
  S3Location place;
  place.bucket = testing::S3Server::shared().make_bucket();
  place.prefix = prefix;
  place.endpoint = endpoint;
  place.region = testing::S3Server::region();
  return place;
}

}  // namespace pgstrata
