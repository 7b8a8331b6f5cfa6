#include "cli/duration_argument.h"

#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

constexpr std::chrono::seconds longest_span(std::int64_t{1000} * 366 * 86400);

}  // namespace

Result<std::chrono::seconds> parse_duration_argument(std::string_view text) {
  constexpr std::string_view units = "smhdwy";
  constexpr std::array<std::uint32_t, 6> seconds{1, 60, 3600, 86400, 7 * 86400, 366 * 86400};
  const auto unit = text.empty() ? std::string_view::npos : units.find(text.back());
  const auto count = unit == std::string_view::npos
                         ? std::nullopt
                         : parse_decimal<std::uint32_t>(text.substr(0, text.size() - 1));
  if (!count || *count == 0) {
    return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is no span of time", text)
                               .with_hint("Write a number and one of s, m, h, d, w, y: 12h, 7d."));
  }
  const std::chrono::seconds span(std::int64_t{*count} * seconds[unit]);
  if (span <= longest_span) return span;
  return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is longer than anything lasts", text)
                             .with_hint("At most 1000y can be said."));
}

}  // namespace pgstrata
