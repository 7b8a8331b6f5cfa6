#include "pg/format/tablespace_map.h"

#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

Result<TablespaceLocation> parse_line(const std::string& line) {
  const auto blank = line.find(' ');
  if (blank == std::string::npos || blank + 1 == line.size()) {
    return fail(ErrorCode::damaged, "tablespace_map has the line \"{}\"", line);
  }
  const auto tablespace = parse_decimal<std::uint32_t>(std::string_view(line).substr(0, blank));
  if (!tablespace || *tablespace == 0) {
    return fail(ErrorCode::damaged, "tablespace_map has the line \"{}\"", line);
  }
  return TablespaceLocation{Oid{*tablespace}, line.substr(blank + 1)};
}

}  // namespace

Result<std::vector<TablespaceLocation>> parse_tablespace_map(std::string_view text) {
  std::vector<TablespaceLocation> locations;
  std::string line;
  bool escaped = false;
  for (const char c : text) {
    if (!escaped && c == '\\') {
      escaped = true;
      continue;
    }
    if (!escaped && (c == '\n' || c == '\r')) {
      if (line.empty()) continue;
      PGS_TRY(auto location, parse_line(line));
      locations.push_back(std::move(location));
      line.clear();
      continue;
    }
    line += c;
    escaped = false;
  }
  if (!line.empty() || escaped) return fail(ErrorCode::damaged, "tablespace_map ends within a line");
  return locations;
}

std::string format_tablespace_map(const std::vector<TablespaceLocation>& locations) {
  std::string text;
  for (const auto& location : locations) {
    text += fmt::format("{} ", location.tablespace);
    for (const char c : location.path) {
      if (c == '\n' || c == '\r' || c == '\\') text += '\\';
      text += c;
    }
    text += '\n';
  }
  return text;
}

}  // namespace pgstrata
