#include "capture/wal_synchronous.h"

#include <algorithm>
#include <string>

namespace pgstrata {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_separator(char c) {
  return c == ',' || c == '(' || c == ')' || c == ' ' || (c >= '\t' && c <= '\r');
}

// Takes the next name off `list`: a bare word, or one in double quotes with "" for a quote. False at the end.
bool next_name(std::string_view& list, std::string& name) {
  while (!list.empty() && is_separator(list.front())) list.remove_prefix(1);
  if (list.empty()) return false;
  name.clear();
  const bool quoted = list.front() == '"';
  if (quoted) list.remove_prefix(1);
  while (!list.empty()) {
    const char c = list.front();
    if (quoted && c == '"') {
      list.remove_prefix(1);
      if (list.empty() || list.front() != '"') break;
    } else if (!quoted && is_separator(c)) {
      break;
    }
    name += lower(c);
    list.remove_prefix(1);
  }
  return true;
}

// What stands before the list's parenthesis is the method and the number of standbys, no names.
std::string_view names_of(std::string_view setting) {
  bool quoted = false;
  for (std::size_t at = 0; at < setting.size(); ++at) {
    if (setting[at] == '"') quoted = !quoted;
    if (!quoted && setting[at] == '(') return setting.substr(at);
  }
  return setting;
}

}  // namespace

bool is_synchronous_standby(std::string_view synchronous_standby_names, std::string_view application_name) {
  std::string ours(application_name);
  std::ranges::transform(ours, ours.begin(), lower);
  auto list = names_of(synchronous_standby_names);
  for (std::string name; next_name(list, name);) {
    if (name == "*" || name == ours) return true;
  }
  return false;
}

}  // namespace pgstrata
