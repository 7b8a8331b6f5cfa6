#include "cli/visible_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace pgstrata {
namespace {

// The control character that `text` begins with, by its number, and the bytes it has there.
struct Control {
  unsigned number = 0;
  std::size_t size_bytes = 0;  // 0: none
};

Control first_control(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  if (byte(0) == 0x7f || (byte(0) < 0x20 && text[0] != '\n' && text[0] != '\t')) return {byte(0), 1};
  if (text.size() > 1 && byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return {byte(1), 2};
  return {};
}

std::string with_controls_as(std::string_view text, fmt::format_string<const unsigned&> form) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Control control = first_control(text);
    if (control.size_bytes > 0) {
      shown += fmt::format(form, control.number);
    } else {
      shown += text.front();
    }
    text.remove_prefix(std::max<std::size_t>(control.size_bytes, 1));
  }
  return shown;
}

}  // namespace

std::string visible_text(std::string_view text) {
  return with_controls_as(text, "\\x{:02x}");
}

std::string visible_json(std::string_view json) {
  return with_controls_as(json, "\\u{:04x}");
}

}  // namespace pgstrata
