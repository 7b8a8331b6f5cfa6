#include "pg/wire/connection_url.h"

#include "pg/wire/wire_test_support.h"

namespace pgstrata {
namespace {

TEST(ConnectionUrl, ReadsAllThreeForms) {
  const auto url = url_of("postgresql://app:s%40fe@db.example.com:5433/shop?sslmode=require");
  EXPECT_EQ(url.get("host"), "db.example.com");
  EXPECT_EQ(url.get("port"), "5433");
  EXPECT_EQ(url.get("password"), "s@fe");
  EXPECT_EQ(url.get("sslmode"), "require");
  EXPECT_EQ(url_of("host=db.example.com port=5433 user=app password=s@fe dbname=shop sslmode=require"), url);
  EXPECT_EQ(url_of("service=shop").get("service"), "shop");
  EXPECT_EQ(url_of("service=shop").get("host"), std::nullopt);
}

TEST(ConnectionUrl, NormalFormReadsBackWhateverTheValues) {
  const auto url = url_of("host=/run/postgresql user='o\\'brien' password='a\\'b\\\\c d'");
  EXPECT_EQ(url.get("password"), "a'b\\c d");
  EXPECT_EQ(url_of(url.text()), url);
}

TEST(ConnectionUrl, ShowsAndStoresNoSecret) {
  const auto url = url_of("postgresql://app:hunter2@h/shop?sslpassword=hunter3");
  EXPECT_TRUE(url.has_password());
  const auto stored = url.without_password();
  EXPECT_FALSE(stored.has_password());
  EXPECT_EQ(stored.text().find("hunter"), std::string::npos);
  EXPECT_EQ(url.describe(), "host h, user app, database shop");
  EXPECT_EQ(stored.get("user"), "app");
}

TEST(ConnectionUrl, ErrorsQuoteNothingThatMayBeAPassword) {
  for (const auto* text : {"postgresql://app:hunter2%zz@h/shop", "hunter2", "host=h password='hunter2",
                           "postgresql://app:hunter2@[::1/shop"}) {
    const auto url = ConnectionUrl::parse(text);
    ASSERT_FALSE(url.has_value()) << text;
    EXPECT_EQ(url.error().code(), ErrorCode::usage);
    EXPECT_EQ(url.error().describe().find("hunter2"), std::string::npos) << url.error().describe();
    EXPECT_NE(url.error().hint().find("postgresql://"), std::string::npos);
  }
}

TEST(ConnectionUrl, APasswordThatIsNotEscapedIsToldWithoutQuotingIt) {
  for (const auto* text :
       {"postgresql://app:s3@cret@db/shop", "postgresql://app@db:s3cret/shop",
        "postgresql://app:pa@ss:s3cret@db:5432/shop", "postgresql://app:12/s3cret@db/shop"}) {
    const auto url = ConnectionUrl::parse(text);
    ASSERT_FALSE(url.has_value()) << text;
    EXPECT_EQ(url.error().code(), ErrorCode::usage);
    const auto said = url.error().describe() + url.error().hint();
    EXPECT_EQ(said.find("cret"), std::string::npos) << said;
    EXPECT_NE(said.find("%40"), std::string::npos) << said;
  }
  EXPECT_TRUE(ConnectionUrl::parse("postgresql://app:s3%40cret@db,other:5432,5433/shop").has_value());
  EXPECT_TRUE(ConnectionUrl::parse("host='db,@abstract' port=' 5432'").has_value());
  EXPECT_TRUE(ConnectionUrl::parse("host=/run/user@1000 dbname=a@b").has_value());
}

TEST(ConnectionUrl, NamesAnUnknownOption) {
  const auto url = ConnectionUrl::parse("hots=h");
  ASSERT_FALSE(url.has_value());
  EXPECT_NE(url.error().message().find("hots"), std::string::npos) << url.error().message();
}

TEST(ConnectionUrl, RefusesAnEmptyOne) {
  EXPECT_FALSE(ConnectionUrl::parse("").has_value());
  EXPECT_FALSE(ConnectionUrl::parse(std::string_view("host=a\0b", 8)).has_value());
}

TEST(ConnectionUrl, AddsParametersWithoutDisturbingTheUsers) {
  const auto url = url_of("host=h keepalives_idle=60");
  EXPECT_EQ(url.with_default("keepalives_idle", "5").get("keepalives_idle"), "60");
  EXPECT_EQ(url.with_default("keepalives_count", "3").get("keepalives_count"), "3");
  EXPECT_EQ(url.with("host", "other").get("host"), "other");
  EXPECT_EQ(url_of("host=h").with("port", "1").with("user", "u"), url_of("user=u port=1 host=h"));
}

}  // namespace
}  // namespace pgstrata
