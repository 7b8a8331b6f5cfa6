#include "pg/server/server_log.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fcntl.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t most_lines = 6;
constexpr std::size_t tail_bytes = std::size_t{64} << 10;

bool contains_any(std::string_view line, const auto& words) {
  return std::ranges::any_of(
      words, [&](std::string_view word) { return line.find(word) != std::string_view::npos; });
}

bool is_failure(std::string_view line) {
  static constexpr std::array<std::string_view, 3> words = {"FATAL:  ", "PANIC:  ", "ERROR:  "};
  return contains_any(line, words);
}

// Belongs to the message before it.
bool is_continuation(std::string_view line) {
  static constexpr std::array<std::string_view, 3> words = {"DETAIL:  ", "HINT:  ", "CONTEXT:  "};
  return line.starts_with('\t') || contains_any(line, words);
}

// "configuration file ... contains errors": what they are is said before it, as mere LOG.
bool is_refused_configuration(std::string_view line) {
  return line.find("FATAL:  configuration file ") != std::string_view::npos;
}
bool is_complaint_of_configuration(std::string_view line) {
  static constexpr std::array<std::string_view, 2> words = {" parameter \"", " in file \""};
  return line.find("LOG:  ") != std::string_view::npos && contains_any(line, words);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::string last_words(std::string_view log) {
  const auto lines = lines_of(log);
  std::vector<std::string_view> chosen;
  std::vector<std::string_view> complaints;
  bool in_failure = false;
  for (const auto line : lines) {
    in_failure = is_failure(line) || (in_failure && is_continuation(line));
    if (is_complaint_of_configuration(line) || (!complaints.empty() && is_continuation(line))) {
      complaints.push_back(line);
      continue;
    }
    if (is_refused_configuration(line)) chosen.insert(chosen.end(), complaints.begin(), complaints.end());
    complaints.clear();
    if (in_failure) chosen.push_back(line);
  }
  if (chosen.empty()) chosen = lines;
  if (chosen.size() > most_lines) chosen.erase(chosen.begin(), chosen.end() - most_lines);
  std::string words;
  for (auto line : chosen) {
    while (line.starts_with('\t')) line.remove_prefix(1);
    if (!words.empty()) words += "; ";
    words += line;
  }
  return words;
}

std::string last_words_of_file(const std::filesystem::path& log_file, std::uint64_t offset) {
  const auto file = open_file(log_file, O_RDONLY);
  if (!file.has_value()) return {};
  const auto info = stat_file(*file);
  if (!info.has_value() || info->size_bytes <= offset) return {};
  const std::uint64_t begin =
      std::max(offset, info->size_bytes - std::min<std::uint64_t>(info->size_bytes, tail_bytes));
  std::string text(static_cast<std::size_t>(info->size_bytes - begin), '\0');
  const auto count = read_at_most(*file, begin, std::as_writable_bytes(std::span(text)));
  if (!count.has_value()) return {};
  text.resize(*count);
  return last_words(text);
}

}  // namespace pgstrata
