#include "net/url.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

TEST(UrlTest, EncodesAllButTheUnreserved) {
  EXPECT_EQ(url_encode("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(url_encode("a/b c+d=e&f%\xC3\xA9"), "a%2Fb%20c%2Bd%3De%26f%25%C3%A9");
  EXPECT_EQ(url_encode_path("a/b c"), "a/b%20c");
  EXPECT_EQ(url_encode_query({{"b", "2 3"}, {"a", ""}, {"b", "1"}}), "a=&b=1&b=2%203");
}

TEST(UrlTest, DecodesWhatItEncodes) {
  std::string every;
  for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
  EXPECT_EQ(url_decode(url_encode(every)).value(), every);
  EXPECT_EQ(url_decode("a%2fb").value(), "a/b");
  for (const std::string_view bad : {"%", "a%2", "%zz", "%2", "abc%"}) {
    EXPECT_EQ(url_decode(bad).error().code(), ErrorCode::usage) << bad;
  }
}

TEST(UrlTest, ReadsQueries) {
  EXPECT_EQ(parse_url_query("a=1&b&c=%3D=&&").value(), (HttpQuery{{"a", "1"}, {"b", ""}, {"c", "=="}}));
  EXPECT_TRUE(parse_url_query("").value().empty());
}

TEST(UrlTest, TakesOriginsAlone) {
  EXPECT_EQ(parse_origin("https://host").value(), "https://host");
  EXPECT_EQ(parse_origin("http://127.0.0.1:9000/").value(), "http://127.0.0.1:9000");
  EXPECT_EQ(parse_origin("http://[::1]:9000").value(), "http://[::1]:9000");
  for (const std::string_view bad : {"", "host", "ftp://host", "https://", "https:///x", "https://host/x",
                                     "https://u@host", "https://host:0", "https://host:65536",
                                     "https://host:", "https://ho st", "http://[::1", "http://[]"}) {
    EXPECT_EQ(parse_origin(bad).error().code(), ErrorCode::usage) << bad;
  }
  EXPECT_EQ(host_of_origin("https://host:443"), "host");
  EXPECT_EQ(host_of_origin("http://host:443"), "host:443");
  EXPECT_EQ(host_of_origin("http://[::1]:80"), "[::1]");
}

}  // namespace
}  // namespace pgstrata
