// Text of others on a terminal: a server's messages and a source's file names may hold what a terminal obeys.
#pragma once

#include <string>
#include <string_view>

namespace pgstrata {

// Control characters other than newline and tab, DEL and the C1 ones of UTF-8 among them, as "\x1b".
[[nodiscard]] std::string visible_text(std::string_view text);
// Of JSON text: those that JSON leaves as they are, in its own form, "\u007f". It means the same.
[[nodiscard]] std::string visible_json(std::string_view json);

}  // namespace pgstrata
