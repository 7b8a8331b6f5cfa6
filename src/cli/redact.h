// Keeps passwords out of what is shown, wherever they came from.
#pragma once

#include <string>
#include <string_view>

namespace pgstrata {

// The text with the password of each URL ("scheme://user:SECRET@host", "?password=SECRET") and of each libpq
// keyword string ("password=SECRET", "password = 'SECRET'", sslpassword too) replaced by "***".
[[nodiscard]] std::string redact_passwords(std::string_view text);

}  // namespace pgstrata
