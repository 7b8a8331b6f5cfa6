#include "branch/mount_failure.h"

#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::string_view answered = "answered with an error, ";

ErrorCode code_named(std::string_view name) {
  for (const auto code : {ErrorCode::damaged, ErrorCode::no_space, ErrorCode::unavailable}) {
    if (to_string(code) == name) return code;
  }
  return ErrorCode::failed;
}

std::string hint_of(ErrorCode code) {
  if (code == ErrorCode::damaged) return "`pgstrata verify` says what is damaged, and what to do about it.";
  if (code == ErrorCode::no_space) return "Free space on the disk that holds the branches, and try again.";
  return "";
}

}  // namespace

std::string mount_failure_words(const Error& error) {
  return fmt::format("{}{}: {}", answered, to_string(error.code()), error.describe());
}

Error explained_by_mount(const BranchHome& home, Error error) {
  const auto log = read_file(home.mount_log());
  if (!log) return error;
  auto text = as_text(*log);
  if (const auto mounted = text.rfind(mount_begins_words); mounted != std::string_view::npos)
    text.remove_prefix(mounted);
  const auto begin = text.find(answered);
  if (begin == std::string_view::npos) return error;
  const auto line = text.substr(begin + answered.size(), text.find('\n', begin) - begin - answered.size());
  const auto colon = line.find(": ");
  if (colon == std::string_view::npos) return error;
  const auto code = code_named(line.substr(0, colon));
  auto explained =
      make_error(code, "{}; so the branch's server failed: {}", line.substr(colon + 2), error.describe());
  return std::move(explained).with_hint(hint_of(code));
}

}  // namespace pgstrata
