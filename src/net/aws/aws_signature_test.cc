#include "net/aws/aws_signature.h"

#include <gtest/gtest.h>

#include "codec/digest.h"

namespace pgstrata {
namespace {

// The examples of "Authenticating Requests: Using the Authorization Header" in the Amazon S3 API Reference.
const AwsCredentials credentials{.access_key_id = "AKIAIOSFODNN7EXAMPLE",
                                 .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 .session_token = {},
                                 .expires = {}};

std::string signature_of(HttpRequest request, std::string_view body = {}) {
  request.origin = "https://examplebucket.s3.amazonaws.com";
  sign_aws_request(
      request, credentials,
      {.region = "us-east-1", .service = "s3", .time = parse_rfc3339("2013-05-24T00:00:00Z").value()},
      to_hex(sha256(as_byte_view(body))));
  const std::string& value = request.headers.back().value;
  return value.substr(value.find("Signature=") + 10);
}

TEST(AwsSignatureTest, SignsAsTheReferenceDoes) {
  HttpRequest get{.method = "GET", .path = "/test.txt", .headers = {{"Range", "bytes=0-9"}}};
  EXPECT_EQ(signature_of(get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  HttpRequest put{
      .method = "PUT",
      .path = "/test%24file.text",
      .headers = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}};
  EXPECT_EQ(signature_of(put, "Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  HttpRequest lifecycle{.method = "GET", .path = "/", .query = {{"lifecycle", ""}}};
  EXPECT_EQ(signature_of(lifecycle), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  HttpRequest list{.method = "GET", .path = "/", .query = {{"prefix", "J"}, {"max-keys", "2"}}};
  EXPECT_EQ(signature_of(list), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(AwsSignatureTest, ASessionTokenIsSignedToo) {
  AwsCredentials session = credentials;
  session.session_token = "token";
  HttpRequest request{.method = "GET", .origin = "https://host", .path = "/"};
  sign_aws_request(request, session,
                   {.region = "r", .service = "s3", .time = parse_rfc3339("2013-05-24T00:00:00Z").value()},
                   to_hex(sha256({})));
  EXPECT_NE(request.headers.back().value.find(
                "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"),
            std::string::npos);
}

}  // namespace
}  // namespace pgstrata
