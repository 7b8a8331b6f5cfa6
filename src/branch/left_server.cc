#include "branch/left_server.h"

#include <algorithm>
#include <charconv>
#include <csignal>

#include <fcntl.h>

#include "base/cancellation.h"
#include "base/log.h"
#include "sys/process_identity.h"

namespace pgstrata {
namespace {

constexpr auto quit_limit = std::chrono::seconds(5);
constexpr auto kill_limit = std::chrono::seconds(30);

bool leads_to(const std::filesystem::path& link, const std::filesystem::path& place) {
  std::error_code error;
  return std::filesystem::read_symlink(link, error) == place && !error;
}

// Server processes of the branch: they work in its data directory and write into its log. The first is not to be
// seen of a mount that was detached. Asked of the kernel alone: the mount may not answer.
std::vector<pid_t> server_processes(const BranchHome& home) {
  std::vector<pid_t> found;
  const auto entries = list_directory("/proc");
  if (!entries) return found;
  for (const auto& entry : *entries) {
    pid_t pid = 0;
    const auto [end, wrong] = std::from_chars(entry.name.data(), entry.name.data() + entry.name.size(), pid);
    if (wrong != std::errc() || *end != '\0') continue;
    std::error_code error;
    const std::filesystem::path process = "/proc/" + entry.name;
    if (!leads_to(process / "cwd", home.data()) && !leads_to(process / "fd/2", home.server_log())) continue;
    if (std::filesystem::read_symlink(process / "exe", error).filename().native().starts_with("postgres") &&
        !error)
      found.push_back(pid);
  }
  return found;
}

Result<void> end_postmaster(const BranchHome& home) {
  const auto text = read_file(home.server_process(), 4096);
  if (!text) return {};
  const auto postmaster = parse_process_identity(as_text(*text));
  if (!postmaster || postmaster->liveness() != Liveness::alive) return {};
  const auto gone = [&] { return postmaster->liveness() != Liveness::alive; };
  log_info("ending what is left of the branch's server, process {}", postmaster->pid);
  ::kill(postmaster->pid, SIGQUIT);
  if (wait_until(gone, quit_limit)) return {};
  ::kill(postmaster->pid, SIGKILL);
  if (wait_until(gone, kill_limit)) return {};
  return fail(ErrorCode::busy, "the branch's server, process {}, does not end", postmaster->pid);
}

}  // namespace

Result<void> note_server_process(const BranchHome& home, pid_t postmaster) {
  PGS_TRY(const auto identity, ProcessIdentity::of(postmaster));
  return write_file(home.server_process(), as_byte_view(to_string(identity)));
}

bool is_noted_server(const BranchHome& home, pid_t postmaster) {
  const auto text = read_file(home.server_process(), 4096);
  if (!text) return false;
  const auto noted = parse_process_identity(as_text(*text));
  return noted && noted->pid == postmaster && noted->liveness() == Liveness::alive;
}

Result<void> end_left_server(const BranchHome& home) {
  PGS_CHECK(end_postmaster(home));
  // A postmaster's death ends its children, as soon as they look up from what they do.
  const auto gone = [&] { return server_processes(home).empty(); };
  if (wait_until(gone, quit_limit)) return {};
  for (const pid_t pid : server_processes(home)) ::kill(pid, SIGKILL);
  if (wait_until(gone, kill_limit)) return {};
  return fail(ErrorCode::busy, "processes of the branch's server do not end: {}",
              fmt::join(server_processes(home), ", "));
}

}  // namespace pgstrata
