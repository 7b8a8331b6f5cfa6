// Values out of a libpq result. Private to this room.
#pragma once

#include <charconv>
#include <string_view>

#include <libpq-fe.h>

#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

// One row; a value beyond the columns, or NULL, is an empty text. Borrows the result.
class ResultRow {
 public:
  ResultRow(const PGresult* result, int row) : result_(result), row_(row) {}

  [[nodiscard]] std::string_view text(int column) const {
    if (row_ >= PQntuples(result_) || column >= PQnfields(result_)) return {};
    return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
  }

  template <class Integer>
  [[nodiscard]] Result<Integer> number(int column) const {
    Integer value{};
    const std::string_view digits = text(column);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return fail(ErrorCode::failed, "the server answered \"{}\" where a number is due", digits);
    }
    return value;
  }

  [[nodiscard]] Result<TimelineId> timeline(int column) const {
    PGS_TRY(const auto value, number<std::uint32_t>(column));
    return TimelineId{value};
  }

  [[nodiscard]] Result<Lsn> lsn(int column) const {
    return parse_lsn(text(column)).context("read the server's answer");
  }

 private:
  const PGresult* result_;
  int row_;
};

}  // namespace pgstrata
