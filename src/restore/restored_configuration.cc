#include "restore/restored_configuration.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "restore/restore_layout.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t configuration_file_limit_bytes = 16U << 20;
constexpr int deepest_include = 10;  // PostgreSQL's own limit
constexpr int most_files = 1000;     // that include each other

struct ConfigurationLine {
  std::string name;  // in lower case; empty for a line that says nothing
  std::string value;
};

// After the backslash, at the first character of the escape; leaves `at` at its last. As DeescapeQuotedString of
// src/backend/utils/misc/guc-file.l.
char escaped_character(std::string_view text, std::size_t& at) {
  switch (text[at]) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      break;
  }
  const auto is_octal = [&](std::size_t index) {
    return index < text.size() && text[index] >= '0' && text[index] <= '7';
  };
  if (!is_octal(at)) return text[at];
  unsigned code = 0;
  for (int digits = 0; digits < 3 && is_octal(at); ++digits, ++at)
    code = code * 8 + static_cast<unsigned>(text[at] - '0');
  --at;
  return static_cast<char>(code);
}

std::string quoted_value(std::string_view text) {
  std::string value;
  for (std::size_t at = 1; at < text.size(); ++at) {
    const bool doubled = text[at] == '\'' && at + 1 < text.size() && text[at + 1] == '\'';
    if (text[at] == '\'' && !doubled) break;
    if (text[at] == '\\' && at + 1 < text.size()) {
      value += escaped_character(text, ++at);
      continue;
    }
    if (doubled) ++at;
    value += text[at];
  }
  return value;
}

// "name = value", "name value", "name 'it''s'  # why".
ConfigurationLine read_line(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const auto skip = [&](std::string_view characters) {
    text.remove_prefix(std::min(text.find_first_not_of(characters), text.size()));
  };
  skip(blanks);
  ConfigurationLine line;
  const auto name = text.substr(0, text.find_first_of(" \t\r=#'"));
  std::ranges::transform(name, std::back_inserter(line.name),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  text.remove_prefix(name.size());
  skip(blanks);
  if (text.starts_with('=')) text.remove_prefix(1);
  skip(blanks);
  line.value = text.starts_with('\'') ? quoted_value(text) : text.substr(0, text.find_first_of(" \t\r#"));
  return line;
}

bool is_inside(const fs::path& path) {
  return !path.empty() && path.is_relative() && *path.begin() != "..";
}

class ConfigurationReader {
 public:
  explicit ConfigurationReader(const TargetDirectory& data) : data_(data) {}

  // `folder` is where what it includes is looked for.
  void read_text(std::string_view text, const fs::path& folder, int depth) {
    while (!text.empty()) {
      const auto size = std::min(text.find('\n'), text.size());
      const auto line = read_line(text.substr(0, size));
      text.remove_prefix(std::min(size + 1, text.size()));
      if (line.name == "include" || line.name == "include_if_exists") {
        read_file(folder / line.value, depth + 1);
      } else if (line.name == "include_dir") {
        read_folder(folder / line.value, depth + 1);
      } else if (!line.name.empty()) {
        values[line.name] = line.value;
      }
    }
  }

  void read_file(const fs::path& named, int depth) {
    const auto path = named.lexically_normal();
    if (depth > deepest_include || !is_inside(path) || ++files_ > most_files) {
      whole = false;
      return;
    }
    const auto content = data_.read(path.native(), configuration_file_limit_bytes);
    if (content) return read_text(as_text(*content), path.parent_path(), depth);
    if (content.error().code() != ErrorCode::not_found) whole = false;  // the server follows links
  }

  ConfiguredValues values;
  bool whole = true;

 private:
  void read_folder(const fs::path& named, int depth) {
    const auto path = named.lexically_normal();
    whole = whole && is_inside(path);
    if (!is_inside(path)) return;
    const auto entries = data_.list(path.native());
    whole = whole && entries;
    if (!entries) return;
    std::set<std::string> names;
    for (const auto& entry : *entries) {
      if (entry.name.ends_with(".conf") && !entry.name.starts_with('.')) names.insert(entry.name);
    }
    for (const auto& name : names) read_file(path / name, depth);
  }

  const TargetDirectory& data_;
  int files_ = 0;
};

}  // namespace

ConfiguredValues read_configuration(const TargetDirectory& data, std::string_view auto_conf) {
  ConfigurationReader reader(data);
  reader.read_file("postgresql.conf", 0);
  reader.read_text(auto_conf, {}, 0);
  return std::move(reader.values);
}

ConfiguredValues read_configuration(const TargetDirectory& data) {
  const auto auto_conf = data.read("postgresql.auto.conf", configuration_file_limit_bytes);
  return read_configuration(data, auto_conf ? as_text(*auto_conf) : std::string_view());
}

bool is_configuration_whole(const TargetDirectory& data) {
  ConfigurationReader reader(data);
  reader.read_file("postgresql.conf", 0);
  return reader.whole;
}

std::vector<std::string> warn_of_places_elsewhere(const TargetDirectory& data,
                                                  const ConfiguredValues& values) {
  const auto elsewhere = [&](const char* name) -> const std::string* {
    const auto found = values.find(name);
    if (found == values.end() || found->second.empty()) return nullptr;
    return leads_into(found->second, data.path()) ? nullptr : &found->second;
  };
  std::vector<std::string> warnings;
  if (const auto* place = elsewhere("data_directory")) {
    warnings.push_back(fmt::format(
        "the restored postgresql.conf says data_directory = \"{}\": a server started on \"{}\" in the usual "
        "way would open that one instead; take the line out first, or start with -c data_directory=\"{}\"",
        *place, data.path().native(), data.path().native()));
  }
  for (const auto& [name, what] :
       {std::pair{"hba_file", "who may connect"}, std::pair{"ident_file", "who is who"}}) {
    if (const auto* place = elsewhere(name)) {
      warnings.push_back(
          fmt::format("the restored configuration says {} = \"{}\": {} is read there, not in the restored "
                      "directory; give it another with `--set {}=FILE`",
                      name, *place, what, name));
    }
  }
  return warnings;
}

}  // namespace pgstrata
