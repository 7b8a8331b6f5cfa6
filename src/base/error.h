// What went wrong: a code from one table, what failed and why, a hint, and where it happened.
//
// The table below is the only one: exit codes of the command line and the reference in docs/cli.md follow
// from it. Errors are values; they are logged where they are handled, never where
// they are passed on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace pgstrata {

enum class ErrorCode {
  failed,            // the world said no and no better code fits
  usage,             // the caller asked for something that makes no sense
  not_found,         // the named thing does not exist
  already_exists,    // the name is taken
  outside_coverage,  // the target cannot be restored from what the repository holds
  damaged,           // stored bytes do not authenticate or do not parse
  wrong_key,         // no key slot opens with the key that was given
  newer_format,      // written by a newer pgstrata
  check_failed,      // a check ran and its answer is bad
  busy,              // somebody else holds the lease or the slot
  no_space,          // the disk is full
  permission,        // the operating system or the server forbids it
  unavailable,       // no answer now; trying again later may help
  unsupported,       // cannot be done with this server or store
  cancelled,         // stopped on request (SIGINT, SIGTERM)
};

// The process exit code for an error (docs/cli.md: 1 failed, 2 usage, 3 not found, 4 target outside coverage,
// 5 repository damaged or wrong key, 6 check failed, 7 busy).
[[nodiscard]] int exit_code(ErrorCode code);

// The stable snake_case name, for JSON and logs.
[[nodiscard]] std::string_view to_string(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] ErrorCode code() const { return code_; }

  // What failed and why, lower case, no full stop: `could not open "x": Permission denied`.
  [[nodiscard]] const std::string& message() const { return message_; }

  // What to do about it, a sentence; empty when there is nothing to say.
  [[nodiscard]] const std::string& hint() const { return hint_; }

  // Innermost first: "read control file", "restore app".
  [[nodiscard]] const std::vector<std::string>& contexts() const { return contexts_; }

  // Contexts outermost first, then the message, joined by ": ". Without the hint.
  [[nodiscard]] std::string describe() const;

  // The errno it came from; 0 for all others.
  [[nodiscard]] int error_number() const { return error_number_; }

  [[nodiscard]] Error with_hint(std::string hint) &&;
  [[nodiscard]] Error with_context(std::string context) &&;
  [[nodiscard]] Error with_error_number(int error_number) &&;

 private:
  ErrorCode code_;
  int error_number_ = 0;
  std::string message_;
  std::string hint_;
  std::vector<std::string> contexts_;
};

template <class... Args>
[[nodiscard]] Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// From errno: ENOSPC and EDQUOT become no_space, ENOENT not_found, EACCES, EPERM and EROFS permission,
// EEXIST already_exists; all else failed. The message is `WHAT: strerror`.
[[nodiscard]] Error error_from_errno(int error_number, std::string_view what);

}  // namespace pgstrata
