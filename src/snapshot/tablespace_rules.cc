#include "snapshot/tablespace_rules.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "pg/format/text_parsing.h"

namespace pgstrata {

namespace {

bool is_control_character(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

}  // namespace

std::optional<std::string_view> fault_of_location(std::string_view location) {
  if (std::ranges::any_of(location, is_control_character)) return "holds control characters";
  const std::filesystem::path path(location);
  if (!path.is_absolute()) return "is not an absolute path";
  if (path.lexically_normal().native() != path.native()) return "is not a path in its simplest form";
  return std::nullopt;
}

std::optional<TablespacePath> parse_tablespace_path(std::string_view path) {
  if (!take_prefix(path, "pg_tblspc/")) return std::nullopt;
  const auto number = path.substr(0, path.find('/'));
  const auto oid = parse_decimal<std::uint32_t>(number);
  if (!oid) return std::nullopt;
  return TablespacePath{Oid{*oid}, path.substr(std::min(number.size() + 1, path.size()))};
}

bool in_version_folder(const TablespacePath& path, std::uint32_t server_version) {
  auto folder = path.within.substr(0, path.within.find('/'));
  return take_prefix(folder, fmt::format("PG_{}_", server_version / 10000)) &&
         parse_decimal<std::uint64_t>(folder).has_value();
}

}  // namespace pgstrata
