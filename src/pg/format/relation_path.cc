#include "pg/format/relation_path.h"

#include <charconv>

#include <fmt/format.h>

#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

// A number as the server prints it: no sign, no leading zero, 32 bits. Takes it off the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  if (text.empty() || text.front() < '1' || text.front() > '9') return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "16384", "16384_fsm", "16384.3", "16384_vm.1".
bool parse_file_name(std::string_view name, RelationPath& into) {
  const auto number = take_number(name);
  if (!number) return false;
  into.relation.number.value = *number;
  if (take_prefix(name, "_fsm")) {
    into.fork = Fork::free_space;
  } else if (take_prefix(name, "_vm")) {
    into.fork = Fork::visibility;
  } else if (take_prefix(name, "_init")) {
    into.fork = Fork::init;
  }
  if (take_prefix(name, ".")) {
    const auto segment = take_number(name);
    if (!segment) return false;
    into.segment = *segment;
  }
  return name.empty();
}

// "5/16384"
bool parse_in_database(std::string_view rest, RelationPath& into) {
  const auto database = take_number(rest);
  if (!database || !take_prefix(rest, "/")) return false;
  into.relation.database.value = *database;
  return parse_file_name(rest, into);
}

}  // namespace

std::string_view fork_name(Fork fork) {
  switch (fork) {
    case Fork::main:
      return "";
    case Fork::free_space:
      return "fsm";
    case Fork::visibility:
      return "vm";
    case Fork::init:
      return "init";
  }
  return "";
}

std::optional<RelationPath> parse_relation_path(std::string_view path) {
  RelationPath found;
  bool whole = false;
  if (take_prefix(path, "base/")) {
    found.relation.tablespace = default_tablespace;
    whole = parse_in_database(path, found);
  } else if (take_prefix(path, "global/")) {
    found.relation.tablespace = global_tablespace;
    whole = parse_file_name(path, found);
  } else if (take_prefix(path, "pg_tblspc/")) {
    const auto tablespace = take_number(path);
    if (!tablespace || !take_prefix(path, "/PG_")) return std::nullopt;
    const auto slash = path.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    found.relation.tablespace.value = *tablespace;
    whole = parse_in_database(path.substr(slash + 1), found);
  }
  if (!whole) return std::nullopt;
  return found;
}

bool has_page_checksums(std::string_view path) {
  return parse_relation_path(path).has_value();
}

}  // namespace pgstrata
