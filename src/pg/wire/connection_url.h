// How to reach a PostgreSQL server: a libpq URL, keyword string or service, parsed and kept by libpq's own
// rules.
//
// Only what the user wrote is kept: defaults, environment, ~/.pgpass and service files are read by libpq at
// connect time. The text may hold secrets; `without_password()` is what may be stored, `describe()` what may
// be shown. A value; thread-safe for reading.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace pgstrata {

class ConnectionUrl {
 public:
  // "postgresql://user@host/db?sslmode=require", "host=h user=u" or "service=name".
  // Error: usage, with a hint that shows the forms.
  [[nodiscard]] static Result<ConnectionUrl> parse(std::string_view text);

  // The value the user gave for a libpq keyword ("host", "port", "user", "dbname", "service" …); nothing when
  // unset.
  [[nodiscard]] std::optional<std::string> get(std::string_view keyword) const;
  // A copy with the keyword set, or replaced. `keyword` must be one libpq knows (not input).
  [[nodiscard]] ConnectionUrl with(std::string_view keyword, std::string_view value) const;
  // A copy with the keyword set unless the user has set it.
  [[nodiscard]] ConnectionUrl with_default(std::string_view keyword, std::string_view value) const;
  // A copy without password, sslpassword and whatever else libpq marks as a secret.
  [[nodiscard]] ConnectionUrl without_password() const;
  [[nodiscard]] bool has_password() const;

  // The normal form: a keyword string that `parse` reads back to an equal value. Holds secrets unless
  // removed.
  [[nodiscard]] const std::string& text() const { return text_; }
  // For messages: "host db.example.com, port 5432, user app, database shop". Never a secret.
  [[nodiscard]] std::string describe() const;

  // Keyword and value, in libpq's order.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& parameters() const {
    return parameters_;
  }

  bool operator==(const ConnectionUrl& other) const { return parameters_ == other.parameters_; }

 private:
  explicit ConnectionUrl(std::vector<std::pair<std::string, std::string>> parameters);

  std::vector<std::pair<std::string, std::string>> parameters_;
  std::string text_;
};

}  // namespace pgstrata
