#include "pg/server/postmaster_pid.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <limits>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

// Takes one line that ends as a line should; a line still being written is none.
std::optional<std::string_view> take_line(std::string_view& text) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  auto line = text.substr(0, end);
  text.remove_prefix(end + 1);
  while (line.ends_with(' ')) line.remove_suffix(1);
  return line;
}

template <class Integer>
bool parse_number(std::string_view text, Integer& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<PostmasterPid> parse_postmaster_pid(std::string_view text) {
  PostmasterPid parsed;
  const auto pid = take_line(text);
  if (!pid.has_value() || !parse_number(*pid, parsed.pid) || parsed.pid == 0) return std::nullopt;
  if (parsed.pid == std::numeric_limits<pid_t>::min()) return std::nullopt;  // cannot be negated
  parsed.single_user = parsed.pid < 0;                                       // it writes its id negated
  if (parsed.single_user) parsed.pid = -parsed.pid;
  const auto skip_lines = [&](int count) {
    for (; count > 0; --count) take_line(text);
  };
  skip_lines(2);  // data directory, start time
  const auto port = take_line(text);
  const auto socket_directory = take_line(text);
  skip_lines(2);  // listen address, shared memory
  const auto status = take_line(text);
  if (port.has_value() && !parse_number(*port, parsed.port)) parsed.port = 0;
  if (socket_directory.has_value()) parsed.socket_directory = *socket_directory;
  if (status.has_value()) parsed.status = *status;
  return parsed;
}

Result<std::optional<PostmasterPid>> read_postmaster_pid(const std::filesystem::path& data_directory) {
  // Whoever has the directory may have put anything there: nothing is followed, and nothing waited for.
  const auto file = open_file(data_directory / "postmaster.pid", O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file.has_value() && file.error().code() == ErrorCode::not_found) return std::optional<PostmasterPid>();
  if (!file.has_value()) return std::unexpected(file.error());
  Buffer content(64 * 1024);
  PGS_TRY(const auto size, read_at_most(*file, 0, content.whole()));
  return parse_postmaster_pid(as_text(ByteView(content.data(), size)));
}

PostmasterSight look_for_postmaster(pid_t pid, const std::filesystem::path& data_directory) {
  const auto process = fmt::format("/proc/{}", pid);
  struct stat works_in {};
  if (::stat((process + "/cwd").c_str(), &works_in) == 0) {
    struct stat data {};
    if (::stat(data_directory.c_str(), &data) != 0) return PostmasterSight::hidden;
    const bool same = works_in.st_dev == data.st_dev && works_in.st_ino == data.st_ino;
    return same ? PostmasterSight::running : PostmasterSight::absent;
  }
  // One that has ended and waits to be reaped has no working directory any more; where /proc hides the
  // processes of others (hidepid), it is /proc/N itself that is missing.
  if (errno == ENOENT && ::access(process.c_str(), F_OK) == 0) return PostmasterSight::absent;
  const bool alive = ::kill(pid, 0) == 0 || errno == EPERM;
  return alive ? PostmasterSight::hidden : PostmasterSight::absent;
}

}  // namespace pgstrata
