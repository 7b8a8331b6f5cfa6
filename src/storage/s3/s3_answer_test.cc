#include "storage/s3/s3_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

HttpAnswer answer(int status, std::string_view body) {
  return {.status = status, .headers = {}, .body = to_bytes(body), .size_bytes = body.size()};
}

std::string error_xml(std::string_view code) {
  return fmt::format(
      "<?xml version=\"1.0\"?><Error><Code>{}</Code><Message>words &amp; more</Message></Error>", code);
}

TEST(S3AnswerTest, AnErrorHasItsMeaning) {
  const auto code = [](int status, std::string_view name) {
    return s3_error(answer(status, error_xml(name)), "read x").code();
  };
  EXPECT_EQ(code(404, "NoSuchKey"), ErrorCode::not_found);
  EXPECT_EQ(code(404, "NoSuchBucket"), ErrorCode::not_found);
  EXPECT_EQ(code(403, "AccessDenied"), ErrorCode::permission);
  EXPECT_EQ(code(403, "QuotaExceeded"), ErrorCode::no_space);
  EXPECT_EQ(code(507, "InsufficientStorage"), ErrorCode::no_space);
  EXPECT_EQ(code(503, "SlowDown"), ErrorCode::unavailable);
  EXPECT_EQ(code(409, "OperationAborted"), ErrorCode::unavailable);
  EXPECT_EQ(code(400, "InvalidArgument"), ErrorCode::failed);
  const Error error = s3_error(answer(403, error_xml("SignatureDoesNotMatch")), "read s3://b/k");
  EXPECT_EQ(error.message(),
            "could not read s3://b/k: the server answered 403, SignatureDoesNotMatch: words & more");
  EXPECT_THAT(error.hint(), HasSubstr("AWS_SECRET_ACCESS_KEY"));
  EXPECT_EQ(s3_error(answer(404, ""), "look at x").message(), "could not look at x: the server answered 404");
  EXPECT_EQ(s3_error(answer(500, "<html>"), "read x").code(), ErrorCode::unavailable);
}

TEST(S3AnswerTest, KnowsWhatIsWorthAnotherTry) {
  const auto passing = [](int status, std::string_view body) {
    const HttpAnswer it = answer(status, body);
    return is_passing(it, parse_s3_problem(it));
  };
  for (const int status : {500, 502, 503, 504, 429, 408}) EXPECT_TRUE(passing(status, "")) << status;
  for (const int status : {200, 206, 301, 400, 401, 403, 404, 409, 411, 412, 416, 501, 507})
    EXPECT_FALSE(passing(status, "")) << status;
  EXPECT_TRUE(passing(400, error_xml("RequestTimeout")));
  EXPECT_TRUE(passing(409, error_xml("ConditionalRequestConflict")));
  EXPECT_TRUE(passing(200, error_xml("InternalError"))) << "an upload that failed while it was completed";
  EXPECT_FALSE(passing(403, error_xml("AccessDenied")));
}

TEST(S3AnswerTest, ReadsAListing) {
  const auto page = parse_s3_listing(as_byte_view(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult "
      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
      "<Name>b</Name><Prefix>a/</Prefix><IsTruncated>true</IsTruncated>"
      "<Contents><Key>a/x&amp;y</Key><LastModified>2026-11-30T10:11:12.345Z</"
      "LastModified><ETag>&quot;e&quot;</ETag><Size>5368709120</Size></Contents>"
      "<Contents><Key>a/z</Key><LastModified>2026-11-30T10:11:13Z</LastModified><Size>0</Size></Contents>"
      "</ListBucketResult>"));
  ASSERT_TRUE(page) << page.error().describe();
  EXPECT_TRUE(page->more);
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].name, "a/x&y");
  EXPECT_EQ(page->objects[0].size_bytes, 5368709120U);
  EXPECT_EQ(to_rfc3339(page->objects[0].modified), "2026-11-30T10:11:12.345Z");
  EXPECT_EQ(page->objects[1].size_bytes, 0U);
}

TEST(S3AnswerTest, WhatIsNoneIsDamaged) {
  for (const std::string_view body :
       {"", "<", "<html><body>proxy</body></html>", "<ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"}) {
    EXPECT_EQ(parse_s3_listing(as_byte_view(body)).error().code(), ErrorCode::damaged) << body;
    EXPECT_EQ(parse_upload_id(as_byte_view(body)).error().code(), ErrorCode::damaged) << body;
  }
}

}  // namespace
}  // namespace pgstrata
