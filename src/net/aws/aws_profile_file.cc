#include "net/aws/aws_profile_file.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trim_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool begins_comment(char c) {
  return c == '#' || c == ';';
}

std::string_view without_comment(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (begins_comment(text[i]) && (i == 0 || blanks.find(text[i - 1]) != std::string_view::npos)) {
      return trim_blanks(text.substr(0, i));
    }
  }
  return trim_blanks(text);
}

class AwsFileReader {
 public:
  explicit AwsFileReader(std::string_view name) : name_(name) {}

  Result<void> take(std::string_view line) {
    ++number_;
    const std::size_t indent = line.find_first_not_of(blanks);
    if (indent == std::string_view::npos || begins_comment(line[indent])) return {};
    if (line[indent] == '[') return take_section(line.substr(indent + 1));
    if (section_ == nullptr) return refuse("a setting before the first [section]");
    if (!setting_.empty() && indent > setting_indent_) return take_indented(without_comment(line));
    setting_indent_ = indent;
    PGS_TRY(setting_, take_setting(without_comment(line), {}));
    return {};
  }
  AwsFileSections sections() && { return std::move(sections_); }

 private:
  std::unexpected<Error> refuse(std::string_view why) const {
    return std::unexpected(
        make_error(ErrorCode::usage, "{} line {}: {}", name_, number_, why)
            .with_hint("The file has [sections] with lines of name = value; \"aws configure\" writes it."));
  }

  Result<void> take_section(std::string_view rest) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos || !without_comment(rest.substr(end + 1)).empty()) {
      return refuse("a [section] that does not end with \"]\"");
    }
    section_ = &sections_[std::string(trim_blanks(rest.substr(0, end)))];
    setting_.clear();
    return {};
  }

  // The name under which it was put.
  Result<std::string> take_setting(std::string_view line, std::string_view prefix) {
    const std::size_t equals = line.find('=');
    const std::string name = ascii_lower(trim_blanks(line.substr(0, equals)));
    if (equals == std::string_view::npos || name.empty()) return refuse("it is not name = value");
    std::string full_name = std::string(prefix) + name;
    (*section_)[full_name] = trim_blanks(line.substr(equals + 1));
    return full_name;
  }

  Result<void> take_indented(std::string_view line) {
    std::string& value = (*section_)[setting_];
    if (value.empty()) {
      PGS_CHECK(take_setting(line, setting_ + "."));
    } else {
      value.append("\n").append(line);
    }
    return {};
  }

  const std::string_view name_;
  int number_ = 0;
  AwsFileSections sections_;
  AwsProfile* section_ = nullptr;
  std::string setting_;  // the last one that was not nested
  std::size_t setting_indent_ = 0;
};

}  // namespace

std::string ascii_lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

Result<AwsFileSections> parse_aws_file(std::string_view text, std::string_view name) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  AwsFileReader reader(name);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    PGS_CHECK(reader.take(line));
  }
  return std::move(reader).sections();
}

}  // namespace pgstrata
