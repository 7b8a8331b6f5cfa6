// AWS Signature Version 4, as "Signature Version 4 signing process" of the AWS General Reference and the S3 API
// Reference's "Authenticating Requests: Using the Authorization Header" have it: the path is encoded once, the
// payload's digest is signed, too.
#pragma once

#include <string>

#include "base/timestamp.h"
#include "net/http_client.h"

namespace pgstrata {

struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // empty: a long-term key
  Timestamp expires;          // invalid: never
};

struct AwsSigningScope {
  std::string region;
  std::string service;  // "s3", "sts"
  Timestamp time;
};

// Adds the headers Host, X-Amz-Date, X-Amz-Content-SHA256, X-Amz-Security-Token where there is one, and Authorization;
// signs these and all that are there already. `payload_sha256` is the body's digest in hexadecimal.
void sign_aws_request(HttpRequest& request, const AwsCredentials& credentials, const AwsSigningScope& scope,
                      const std::string& payload_sha256);

}  // namespace pgstrata
