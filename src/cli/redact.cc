#include "cli/redact.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::string_view mask = "***";
constexpr std::string_view scheme_end = "://";
constexpr std::string_view keyword = "password";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The end of what an URL's "user:password@" may reach to: a password with a bare "/" or "@" is no valid URL,
// but it is still a password.
std::size_t word_end(std::string_view text, std::size_t from) {
  while (from < text.size() && !is_blank(text[from]) && text[from] != '"') ++from;
  return from;
}

void mask_url_passwords(std::string& text) {
  for (std::size_t at = text.find(scheme_end); at != std::string::npos; at = text.find(scheme_end, at)) {
    at += scheme_end.size();
    const std::string_view word = std::string_view(text).substr(at, word_end(text, at) - at);
    const std::size_t colon = word.find(':');
    const std::size_t sign = word.rfind('@');
    if (colon == std::string_view::npos || sign == std::string_view::npos || sign < colon) continue;
    // In "host:5432/db?user=a@b" the colon belongs to the host.
    if (word.substr(0, colon).find_first_of("/?") != std::string_view::npos) continue;
    text.replace(at + colon + 1, sign - colon - 1, mask);
  }
}

// Where the value that starts at `from` ends: libpq's quoting, or an URL's "&".
std::size_t value_end(std::string_view text, std::size_t from) {
  if (from < text.size() && text[from] == '\'') {
    std::size_t at = from + 1;
    while (at < text.size() && text[at] != '\'') at += text[at] == '\\' ? 2 : 1;
    return std::min(at + 1, text.size());
  }
  std::size_t at = from;
  while (at < text.size() && !is_blank(text[at]) && text[at] != '&' && text[at] != '"') {
    at += text[at] == '\\' ? 2 : 1;
  }
  return std::min(at, text.size());
}

void mask_keyword_passwords(std::string& text) {
  for (std::size_t at = text.find(keyword); at != std::string::npos; at = text.find(keyword, at)) {
    at += keyword.size();
    std::size_t value = at;
    while (value < text.size() && is_blank(text[value])) ++value;
    if (value >= text.size() || text[value] != '=') continue;
    ++value;
    while (value < text.size() && is_blank(text[value])) ++value;
    const std::size_t end = value_end(text, value);
    if (end > value) text.replace(value, end - value, mask);
  }
}

}  // namespace

std::string redact_passwords(std::string_view text) {
  std::string shown(text);
  mask_url_passwords(shown);
  mask_keyword_passwords(shown);
  return shown;
}

// Each keeps its place and its size: what the mask leaves over is zeros, and what is too much for it is cut
// off.
void redact_arguments(std::span<char*> arguments) {
  for (char* argument : arguments) {
    const std::string_view text(argument);
    auto shown = redact_passwords(text);
    if (shown == text) continue;
    shown.resize(text.size());
    std::ranges::copy(shown, argument);
  }
}

}  // namespace pgstrata
