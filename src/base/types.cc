#include "base/types.h"

#include <charconv>

namespace pgstrata {

namespace {

bool parse_hex32(std::string_view text, std::uint32_t& value) {
  if (text.empty() || text.size() > 8) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<Lsn> parse_lsn(std::string_view text) {
  const auto slash = text.find('/');
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  if (slash == std::string_view::npos || !parse_hex32(text.substr(0, slash), high) ||
      !parse_hex32(text.substr(slash + 1), low)) {
    return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is not an LSN", text)
                               .with_hint("An LSN looks like 16/B374D848."));
  }
  return Lsn{(std::uint64_t{high} << 32) | low};
}

std::string to_string(Lsn lsn) { return fmt::format("{:X}/{:X}", lsn.value >> 32, lsn.value & 0xFFFFFFFFU); }

}  // namespace pgstrata
