#include "sys/process_identity.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <signal.h>
#include <unistd.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t proc_file_limit_bytes = 65'536;

bool fits_names(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

Result<std::string> this_host_name() {
  std::array<char, 256> buffer{};
  if (::gethostname(buffer.data(), buffer.size() - 1) != 0) {
    return std::unexpected(error_from_errno(errno, "could not get the host name"));
  }
  std::string name = buffer.data();
  std::ranges::replace_if(
      name, [](char c) { return !fits_names(c); }, '-');
  return name;
}

Result<std::string> this_boot_id() {
  PGS_TRY(const Bytes content, read_file("/proc/sys/kernel/random/boot_id", proc_file_limit_bytes));
  std::string id(as_text(content));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

template <class Integer>
bool parse_whole(std::string_view text, Integer& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size();
}

// Cuts off and returns what comes before the next `separator`.
std::string_view take_field(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

// "pid:[4026531836]"
Result<std::uint64_t> this_pid_namespace() {
  std::array<char, 64> link;
  const ssize_t size = ::readlink("/proc/self/ns/pid", link.data(), link.size());
  if (size < 0) return std::unexpected(error_from_errno(errno, "could not read \"/proc/self/ns/pid\""));
  std::string_view text(link.data(), static_cast<std::size_t>(size));
  std::uint64_t number = 0;
  if (!text.starts_with("pid:[") || !text.ends_with("]") ||
      !parse_whole(text.substr(5, text.size() - 6), number)) {
    return fail(ErrorCode::failed, "could not understand \"/proc/self/ns/pid\": \"{}\"", text);
  }
  return number;
}

struct ProcStat {
  char state = '?';
  std::uint64_t start_ticks = 0;
};

// proc(5): the second field is the name in parentheses, which may hold blanks and parentheses itself; the
// third is the state, the 22nd the start.
Result<ProcStat> read_proc_stat(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  Result<Bytes> content = read_file(path, proc_file_limit_bytes);
  if (!content) {
    // The process may end between open and read; that is ESRCH.
    const Result<bool> exists = file_exists(path);
    if (exists && !*exists) {
      // Where /proc hides the processes of others (hidepid), one that lives is missing there, too.
      const bool hidden = ::kill(pid, 0) == 0 || errno == EPERM;
      if (hidden) return fail(ErrorCode::permission, "process {} is hidden from us", pid);
      return fail(ErrorCode::not_found, "there is no process {}", pid);
    }
    return std::unexpected(std::move(content).error());
  }
  std::string_view text = as_text(*content);
  text.remove_prefix(std::min(text.rfind(')') + 1, text.size()));  // a name that is missing: rfind gives -1
  take_field(text, ' ');                                           // what is left of the name: nothing
  ProcStat stat;
  const std::string_view state = take_field(text, ' ');
  if (!state.empty()) stat.state = state.front();
  for (int field = 4; field < 22; ++field) take_field(text, ' ');
  if (!parse_whole(take_field(text, ' '), stat.start_ticks)) {
    return fail(ErrorCode::failed, "could not understand \"{}\"", path);
  }
  return stat;
}

}  // namespace

Result<ProcessIdentity> ProcessIdentity::of(pid_t pid) {
  ProcessIdentity identity;
  identity.pid = pid;
  PGS_TRY(const ProcStat stat, read_proc_stat(pid));
  identity.start_ticks = stat.start_ticks;
  PGS_TRY(identity.host_name, this_host_name());
  PGS_TRY(identity.boot_id, this_boot_id());
  PGS_TRY(identity.pid_namespace, this_pid_namespace());
  return identity;
}

Result<ProcessIdentity> ProcessIdentity::self() {
  return of(::getpid());
}

Liveness ProcessIdentity::liveness() const {
  const Result<std::string> host = this_host_name();
  if (!host || *host != host_name) return Liveness::unknown;
  const Result<std::string> boot = this_boot_id();
  if (!boot) return Liveness::unknown;
  // Two machines may share a name, so another boot is no proof that this one's process ended.
  if (*boot != boot_id) return Liveness::unknown;
  const Result<std::uint64_t> space = this_pid_namespace();
  if (!space || *space != pid_namespace) return Liveness::unknown;
  const Result<ProcStat> stat = read_proc_stat(pid);
  if (!stat) return stat.error().code() == ErrorCode::not_found ? Liveness::dead : Liveness::unknown;
  const bool ended = stat->state == 'Z' || stat->state == 'X';
  return !ended && stat->start_ticks == start_ticks ? Liveness::alive : Liveness::dead;
}

std::string to_string(const ProcessIdentity& identity) {
  return fmt::format("{}.{}.{}.{}.{}", identity.pid, identity.start_ticks, identity.pid_namespace,
                     identity.boot_id, identity.host_name);
}

Result<ProcessIdentity> parse_process_identity(std::string_view text) {
  std::string_view rest = text;
  ProcessIdentity identity;
  const bool numbers = parse_whole(take_field(rest, '.'), identity.pid) &&
                       parse_whole(take_field(rest, '.'), identity.start_ticks) &&
                       parse_whole(take_field(rest, '.'), identity.pid_namespace);
  const std::string_view boot_id = take_field(rest, '.');
  const std::string_view host_name = rest;
  if (!numbers || identity.pid <= 0 || boot_id.empty() || host_name.empty() ||
      !std::ranges::all_of(host_name, fits_names)) {
    return fail(ErrorCode::usage, "\"{}\" does not name a process", text);
  }
  identity.boot_id = boot_id;
  identity.host_name = host_name;
  return identity;
}

}  // namespace pgstrata
