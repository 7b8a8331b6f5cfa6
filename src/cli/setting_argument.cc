#include "cli/setting_argument.h"

namespace pgstrata {

Result<std::pair<std::string, std::string>> parse_setting_argument(const std::string& text) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || sign == 0) {
    return fail(ErrorCode::usage, "--set takes two words with \"=\" between them, not \"{}\"", text);
  }
  return std::pair(text.substr(0, sign), text.substr(sign + 1));
}

}  // namespace pgstrata
