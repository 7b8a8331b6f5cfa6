#include "cli/redact.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(Redact, HidesAnUrlsPassword) {
  EXPECT_EQ(redact_passwords("postgresql://app:s3cret@db/shop"), "postgresql://app:***@db/shop");
  EXPECT_EQ(redact_passwords("not expected: postgres://u:a/b@c@db x"), "not expected: postgres://u:***@db x");
  EXPECT_EQ(redact_passwords("postgresql://db/shop?user=a&password=s3cret&sslmode=require"),
            "postgresql://db/shop?user=a&password=***&sslmode=require");
}

TEST(Redact, HidesAKeywordStringsPassword) {
  EXPECT_EQ(redact_passwords("host=db password=s3cret user=a"), "host=db password=*** user=a");
  EXPECT_EQ(redact_passwords("host=db password = 's3 c\\'ret' user=a"), "host=db password = *** user=a");
  EXPECT_EQ(redact_passwords("sslpassword=s3cret"), "sslpassword=***");
  EXPECT_EQ(redact_passwords("password=s3\\ cret user=a"), "password=*** user=a");
  EXPECT_EQ(redact_passwords("password='open"), "password=***");
}

TEST(Redact, HidesThemInArgumentsWithoutMovingOne) {
  std::string words = std::string("stream\0--url\0postgresql://a:s3cret@db/shop\0password=x\0end", 57);
  std::vector<char*> arguments;
  for (std::size_t at = 0; at < words.size(); at += std::strlen(&words[at]) + 1)
    arguments.push_back(&words[at]);
  redact_arguments(arguments);
  EXPECT_EQ(words, std::string("stream\0--url\0postgresql://a:***@db/shop\0\0\0\0password=*\0end", 57));
}

TEST(Redact, LeavesTheRest) {
  for (const char* text :
       {"postgresql://db:5432/shop", "file:///srv/backup", "password authentication failed for user \"a\"",
        "postgresql://app@db/shop", "password=", ""}) {
    EXPECT_EQ(redact_passwords(text), text);
  }
}

}  // namespace
}  // namespace pgstrata
