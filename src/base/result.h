// Result<T>: a value or an Error, never ignored.
#pragma once

#include <expected>
#include <functional>
#include <type_traits>

#include "base/error.h"

namespace pgstrata {

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;

  // Says what was being done when the error came: `read(f).context("read control file")`.
  Result&& context(std::string_view what) && {
    if (!this->has_value()) this->error() = std::move(this->error()).with_context(std::string(what));
    return std::move(*this);
  }
};

template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                          Args&&... args) {
  return std::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

}  // namespace pgstrata

#define PGS_CONCAT_INNER(a, b) a##b
#define PGS_CONCAT(a, b) PGS_CONCAT_INNER(a, b)
#define PGS_TRY_INNER(declaration, expression, result)                              \
  auto result = (expression);                                                       \
  if (!result.has_value()) [[unlikely]] return std::unexpected(std::move(result).error()); \
  declaration = *std::move(result)
#define PGS_CHECK_INNER(expression, result)                       \
  do {                                                            \
    auto result = (expression);                                   \
    if (!result.has_value()) [[unlikely]]                         \
      return std::unexpected(std::move(result).error());          \
  } while (false)

// `PGS_TRY(auto file, open(path));` declares `file` or returns the error from the enclosing function.
#define PGS_TRY(declaration, expression) \
  PGS_TRY_INNER(declaration, expression, PGS_CONCAT(pgs_result_, __COUNTER__))

// `PGS_CHECK(file.sync());` returns the error of a Result<void> from the enclosing function.
#define PGS_CHECK(expression) PGS_CHECK_INNER(expression, PGS_CONCAT(pgs_result_, __COUNTER__))
