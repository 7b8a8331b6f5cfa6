// Asking for a passphrase at the terminal, without showing it.
#pragma once

#include <string>

#include "base/result.h"

namespace pgstrata {

// Whether there is a terminal to ask at.
[[nodiscard]] bool can_ask_passphrase();

// Writes `question` to the terminal and reads a line from it. Ctrl-C ends the program as it does elsewhere,
// with the terminal as it was. Errors: cancelled (end of input); failed.
[[nodiscard]] Result<std::string> ask_passphrase(std::string_view question);

}  // namespace pgstrata
