// credential_process (AWS SDKs and Tools Reference Guide, "Process credential provider").
#include <nlohmann/json.hpp>

#include <poll.h>

#include "net/aws/aws_credential_sources.h"
#include "sys/files.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

constexpr std::string_view process_is_asked = "credential_process";
constexpr std::size_t output_max_bytes = 64U << 10;

using Deadline = std::chrono::steady_clock::time_point;

std::chrono::milliseconds left_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

Result<std::vector<std::string>> split_command(std::string_view command) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (++i == command.size()) return fail(ErrorCode::usage, "{} ends with a backslash", process_is_asked);
      // Between quotes it guards itself and the quote; before all else it stands for itself.
      if (quote == '"' && command[i] != '"' && command[i] != '\\') words.back() += '\\';
      words.back() += command[i];
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) return fail(ErrorCode::usage, "{} has a quote that does not end", process_is_asked);
  if (words.empty()) return fail(ErrorCode::usage, "{} is empty", process_is_asked);
  return words;
}

// All that it writes, until it closes the stream. Nothing: time is up.
Result<std::optional<Bytes>> read_until_end(const FileDescriptor& from, Deadline deadline) {
  Bytes all;
  std::array<std::byte, 4096> piece;
  while (true) {
    pollfd watched{from.get(), POLLIN, 0};
    const int ready = ::poll(&watched, 1, static_cast<int>(left_until(deadline).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return std::unexpected(error_from_errno(errno, "could not wait for output"));
    if (ready == 0) return std::nullopt;
    PGS_TRY(const std::size_t got, read_some(from, piece));
    if (got == 0) return all;
    if (all.size() + got > output_max_bytes)
      return fail(ErrorCode::failed, "{}: it writes too much", process_is_asked);
    append(all, ByteView(piece).first(got));
  }
}

}  // namespace

// What it writes to its errors may hold secrets, and so may its arguments: neither is said.
Result<AwsCredentials> process_aws_credentials(const std::string& command, std::chrono::milliseconds limit) {
  const auto failed = [](ErrorCode code, std::string_view program, std::string_view why) {
    return std::unexpected(
        make_error(code, "{}: \"{}\" {}", process_is_asked, program, why)
            .with_hint("Run the command of the profile's credential_process to see what it says."));
  };
  PGS_TRY(std::vector<std::string> words, split_command(command));
  const std::string program = words.front();
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  auto spawned = ChildProcess::spawn({.arguments = std::move(words),
                                      .new_session = true,
                                      .output = Redirect::pipe(),
                                      .errors = Redirect::null()});
  if (!spawned.has_value())
    return failed(ErrorCode::failed, program, "does not start: " + spawned.error().message());
  ChildProcess child = *std::move(spawned);
  PGS_TRY(const auto output, read_until_end(child.output(), deadline));
  PGS_TRY(const auto ended, child.wait_for(output ? left_until(deadline) : std::chrono::milliseconds(0)));
  if (!output || !ended) return failed(ErrorCode::unavailable, program, "does not end in time");
  if (!ended->success()) return failed(ErrorCode::failed, program, ended->describe());

  const auto json = nlohmann::json::parse(as_text(*output), nullptr, false);
  if (!json.is_object() || json.value("Version", nlohmann::json()) != 1) {
    return failed(ErrorCode::failed, program, "does not write a JSON object of \"Version\" 1");
  }
  return parse_aws_credentials_json(as_text(*output), "SessionToken", process_is_asked);
}

}  // namespace pgstrata
