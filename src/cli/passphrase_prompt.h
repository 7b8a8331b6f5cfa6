// Asking at the terminal: for a passphrase, without showing it, or for a word that confirms something.
#pragma once

#include <string>

#include "base/result.h"

namespace pgstrata {

// Whether there is a terminal to ask at.
[[nodiscard]] bool can_ask();

// Writes `question` to the terminal and reads a line from it. Ctrl-C ends the program as it does elsewhere,
// with the terminal as it was. Errors: cancelled (end of input); failed.
[[nodiscard]] Result<std::string> ask_passphrase(std::string_view question);
// The same with what is typed shown.
[[nodiscard]] Result<std::string> ask_word(std::string_view question);

}  // namespace pgstrata
