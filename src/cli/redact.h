// Keeps passwords out of what is shown, wherever they came from.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pgstrata {

// The text with the password of each URL ("scheme://user:SECRET@host", "?password=SECRET") and of each libpq
// keyword string ("password=SECRET", "password = 'SECRET'", sslpassword too) replaced by "***".
[[nodiscard]] std::string redact_passwords(std::string_view text);

// The same within the arguments of main, as which `ps` shows them to every user of the machine. To be called
// when they are copied.
void redact_arguments(std::span<char*> arguments);

}  // namespace pgstrata
