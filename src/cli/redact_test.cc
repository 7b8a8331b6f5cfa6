#include "cli/redact.h"

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

TEST(Redact, LeavesTheRest) {
  for (const char* text :
       {"postgresql://db:5432/shop", "file:///srv/backup", "password authentication failed for user \"a\"",
        "postgresql://app@db/shop", "password=", ""}) {
    EXPECT_EQ(redact_passwords(text), text);
  }
}

}  // namespace
}  // namespace pgstrata
