#include "cli/visible_text.h"

#include <sstream>

#include <gtest/gtest.h>

#include "cli/console.h"

namespace pgstrata {
namespace {

TEST(VisibleText, ShowsControlCharactersAndLeavesAllElse) {
  EXPECT_EQ(visible_text("\x1b]0;title\a \x1b[31m \r \x7f"), "\\x1b]0;title\\x07 \\x1b[31m \\x0d \\x7f");
  EXPECT_EQ(visible_text("\xc2\x9b"
                         "31m"),
            "\\x9b31m");
  const std::string plain = "zwei\tSpalten\nund Grüße, ¡ñ! \xff";
  EXPECT_EQ(visible_text(plain), plain);
  EXPECT_EQ(visible_text(""), "");
}

TEST(VisibleText, OfJsonMeansTheSame) {
  EXPECT_EQ(visible_json("{\"a\": \"\x7f\xc2\x9b\"}\n"), "{\"a\": \"\\u007f\\u009b\"}\n");
}

TEST(VisibleText, IsAllThatTheConsoleWrites) {
  std::ostringstream out;
  std::ostringstream err;
  Console console(out, err, false);
  console.print("a\x1b[2Jb\n");
  console.say("FATAL:  \x1b]0;owned\a");
  EXPECT_EQ(out.str(), "a\\x1b[2Jb\n");
  EXPECT_EQ(err.str(), "FATAL:  \\x1b]0;owned\\x07\n");
}

}  // namespace
}  // namespace pgstrata
