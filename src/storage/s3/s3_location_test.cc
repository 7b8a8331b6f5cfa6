#include "storage/s3/s3_location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

TEST(S3LocationTest, ReadsAllThatMayBeSaid) {
  const auto place = parse_s3_location(
      "s3://my-bucket/a/b%20c/?endpoint=https://s3.example.net:9000/&region=eu-central-1&profile=backup"
      "&addressing=virtual&ca=/etc/"
      "ca.pem&storage-class=STANDARD_IA&sse=aws:kms&kms-key=arn%3Aaws%3Akms&bandwidth=20M");
  ASSERT_TRUE(place) << place.error().describe();
  EXPECT_EQ(place->bucket, "my-bucket");
  EXPECT_EQ(place->prefix, "a/b c");
  EXPECT_EQ(place->endpoint, "https://s3.example.net:9000");
  EXPECT_EQ(place->region, "eu-central-1");
  EXPECT_EQ(place->profile, "backup");
  EXPECT_EQ(place->addressing, S3Addressing::virtual_host);
  EXPECT_EQ(place->ca_file, "/etc/ca.pem");
  EXPECT_EQ(place->storage_class, "STANDARD_IA");
  EXPECT_EQ(place->encryption, "aws:kms");
  EXPECT_EQ(place->kms_key, "arn:aws:kms");
  EXPECT_EQ(place->bandwidth_bytes_per_second, 20U << 20);
}

TEST(S3LocationTest, WhatItWritesItReadsAsTheSame) {
  for (const std::string_view text :
       {"s3://bucket", "s3://bucket/a", "s3://bucket/a/b%20c?region=x",
        "s3://bucket/p?endpoint=http://[::1]:9000&addressing=path&ca=/a%26b/ca.pem&bandwidth=1000",
        "s3://bucket?storage-class=GLACIER_IR&sse=aws:kms&kms-key=arn:aws:kms:eu-west-1:1:key/2"}) {
    const auto place = parse_s3_location(text);
    ASSERT_TRUE(place) << place.error().describe();
    EXPECT_EQ(to_string(*place), text);
  }
}

TEST(S3LocationTest, SaysWhatIsWrong) {
  const auto refusal = [](std::string_view text) {
    const auto place = parse_s3_location(text);
    if (place) return std::string("accepted");
    EXPECT_EQ(place.error().code(), ErrorCode::usage);
    EXPECT_THAT(place.error().hint(), HasSubstr("s3://BUCKET/PREFIX"));
    return place.error().message();
  };
  EXPECT_THAT(refusal("s3://"), HasSubstr("names no bucket"));
  EXPECT_THAT(refusal("s3:///a"), HasSubstr("names no bucket"));
  EXPECT_THAT(refusal("s3://a b/x"), HasSubstr("no bucket can be called that"));
  EXPECT_THAT(refusal("s3://user:secret@host/x"), HasSubstr("no bucket can be called that"));
  EXPECT_THAT(refusal("s3://bucket/a//b"), HasSubstr("empty"));
  EXPECT_THAT(refusal("s3://bucket/../b"), HasSubstr("\"..\""));
  EXPECT_THAT(refusal("s3://bucket/a%2"), HasSubstr("hexadecimal"));
  EXPECT_THAT(refusal("s3://bucket/a%0A"), HasSubstr("does not print"));
  EXPECT_THAT(refusal("s3://bucket/a?endpoint=s3.example.net"), HasSubstr("http:// or https://"));
  EXPECT_THAT(refusal("s3://bucket/a?endpoint=https://u:p@host"), HasSubstr("host"));
  EXPECT_THAT(refusal("s3://bucket/a?endpoint=https://host/x"), HasSubstr("host"));
  EXPECT_THAT(refusal("s3://bucket/a?endpont=https://host"), HasSubstr("no \"endpont\""));
  EXPECT_THAT(refusal("s3://bucket/a?region=x&region=y"), HasSubstr("two of \"region\""));
  EXPECT_THAT(refusal("s3://bucket/a?region="), HasSubstr("region"));
  EXPECT_THAT(refusal("s3://bucket/a?region=a%0Ab"), HasSubstr("region"));
  EXPECT_THAT(refusal("s3://bucket/a?addressing=host"), HasSubstr("\"path\" or \"virtual\""));
  EXPECT_THAT(refusal("s3://bucket/a?sse=aes"), HasSubstr("AES256"));
  EXPECT_THAT(refusal("s3://bucket/a?kms-key=x"), HasSubstr("sse=aws:kms"));
  for (const std::string_view count :
       {"0", "M", "20X", "20MB", "-1", "99999999999999999999", "99999999999999G"}) {
    EXPECT_THAT(refusal(fmt::format("s3://bucket/a?bandwidth={}", count)), HasSubstr("bytes a second"))
        << count;
  }
}

}  // namespace
}  // namespace pgstrata
