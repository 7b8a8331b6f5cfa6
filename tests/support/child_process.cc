#include "support/child_process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test_failure.h"
#include "support/wait_until.h"

extern char** environ;

namespace pgstrata::testing {
namespace {

[[noreturn]] void fail_with_errno(std::string_view what) {
  throw TestFailure(fmt::format("{}: {}", what, std::strerror(errno)));
}

ServerUser find_server_user() {
  const bool root = geteuid() == 0;
  const passwd* entry = root ? getpwnam("postgres") : getpwuid(geteuid());
  if (entry == nullptr)
    throw TestFailure("there is no user to run PostgreSQL as: run scripts/install-packages run");
  return {.name = entry->pw_name, .uid = entry->pw_uid, .gid = entry->pw_gid, .differs = root};
}

std::vector<std::string> child_environment(const Environment& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    const bool ours = name.starts_with("PG") || (name == "HOME" && server_user().differs);
    if (!ours && !added.contains(std::string(name))) result.emplace_back(text);
  }
  if (server_user().differs && !added.contains("HOME")) result.emplace_back("HOME=/nonexistent");
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result{};
  result.reserve(strings.size() + 1);
  for (std::string& each : strings) result.push_back(each.data());
  result.push_back(nullptr);
  return result;
}

std::vector<gid_t> groups_of(const ServerUser& user) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  if (getgrouplist(user.name.c_str(), user.gid, groups.data(), &count) < 0)
    throw TestFailure("too many groups");
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

// All that the forked child needs, made before the fork: only system calls are safe after it.
struct Prepared {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::vector<char*> argument_pointers{};
  std::vector<char*> environment_pointers{};
  std::vector<gid_t> groups;
  ServerUser user;
  int input = -1;
  int output = -1;
  int errors = -1;
  int signal_when_orphaned = SIGKILL;
  pid_t parent = 0;
};

[[noreturn]] void become(const Prepared& prepared) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const auto check = [](int result, const char* message) {
    if (result >= 0) return;
    [[maybe_unused]] const auto ignored = write(STDERR_FILENO, message, std::strlen(message));
    _exit(127);
  };
  check(dup2(prepared.input, STDIN_FILENO), "dup2 failed\n");
  check(dup2(prepared.output, STDOUT_FILENO), "dup2 failed\n");
  check(dup2(prepared.errors, STDERR_FILENO), "dup2 failed\n");
  check(close_range(3, ~0U, 0), "close_range failed\n");
  if (prepared.user.differs) {
    check(setgroups(prepared.groups.size(), prepared.groups.data()), "setgroups failed\n");
    check(setgid(prepared.user.gid), "setgid failed\n");
    check(setuid(prepared.user.uid), "setuid failed\n");
  }
  // After the change of user, which clears it.
  check(prctl(PR_SET_PDEATHSIG, prepared.signal_when_orphaned), "prctl failed\n");
  if (getppid() != prepared.parent) _exit(127);
  check(chdir("/"), "chdir failed\n");
  execve(prepared.argument_pointers[0], prepared.argument_pointers.data(),
         prepared.environment_pointers.data());
  check(-1, "execve failed: no such program, or not reachable for the server user\n");
  _exit(127);
}

int open_or_fail(const std::filesystem::path& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0600);
  if (descriptor < 0) fail_with_errno(fmt::format("open {}", path.string()));
  return descriptor;
}

}  // namespace

const ServerUser& server_user() {
  static const ServerUser user = find_server_user();
  return user;
}

TemporaryDirectory::TemporaryDirectory() {
  const char* const parent = std::getenv("TMPDIR");
  std::string name = fmt::format("{}/pgs.XXXXXX", parent == nullptr || *parent == '\0' ? "/tmp" : parent);
  if (mkdtemp(name.data()) == nullptr) fail_with_errno("mkdtemp");
  path_ = name;
  if (chown(path_.c_str(), server_user().uid, server_user().gid) != 0) fail_with_errno("chown");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TemporaryDirectory::make(const std::string& name) const {
  const auto path = path_ / name;
  if (mkdir(path.c_str(), 0700) != 0) fail_with_errno("mkdir");
  if (chown(path.c_str(), server_user().uid, server_user().gid) != 0) fail_with_errno("chown");
  return path;
}

std::filesystem::path TemporaryDirectory::write(const std::string& name, const std::string& content) const {
  const auto path = path_ / name;
  const int descriptor = open_or_fail(path, O_WRONLY | O_CREAT | O_EXCL);
  const auto written = ::write(descriptor, content.data(), content.size());
  const bool whole = written == static_cast<ssize_t>(content.size());
  const bool owned = fchown(descriptor, server_user().uid, server_user().gid) == 0;
  close(descriptor);
  if (!whole || !owned) fail_with_errno(fmt::format("write {}", path.string()));
  return path;
}

ChildProcess::ChildProcess(const ChildCommand& command) : name_(command.arguments.at(0)) {
  Prepared prepared{.arguments = command.arguments,
                    .environment = child_environment(command.environment),
                    .groups = groups_of(server_user()),
                    .user = server_user(),
                    .signal_when_orphaned = command.signal_when_orphaned,
                    .parent = getpid()};
  if (!command.as_server_user) prepared.user.differs = false;
  prepared.argument_pointers = pointers(prepared.arguments);
  prepared.environment_pointers = pointers(prepared.environment);
  prepared.input = open_or_fail(command.input, O_RDONLY);
  prepared.output = open_or_fail(command.output, O_WRONLY | O_CREAT | O_APPEND);
  prepared.errors = open_or_fail(command.errors, O_WRONLY | O_CREAT | O_APPEND);
  pid_ = fork();
  if (pid_ == 0) become(prepared);
  close(prepared.input);
  close(prepared.output);
  close(prepared.errors);
  if (pid_ < 0) fail_with_errno("fork");
}

ChildProcess::~ChildProcess() {
  if (!running()) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool ChildProcess::running() {
  if (ended_) return false;
  int status = 0;
  const pid_t got = waitpid(pid_, &status, WNOHANG);
  if (got == 0) return true;
  ended_ = true;
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return false;
}

void ChildProcess::send_signal(int signal_number) {
  if (running()) kill(pid_, signal_number);
}

int ChildProcess::wait(std::chrono::milliseconds limit) {
  wait_until(
      fmt::format("the end of {} (pid {})", name_, pid_), [this] { return !running(); }, limit);
  return exit_code_;
}

std::string ProgramRun::describe() const {
  return fmt::format("exit code {}\nstdout:\n{}\nstderr:\n{}", exit_code, out, err);
}

ProgramRun run_program(const std::vector<std::string>& arguments, const Environment& environment,
                       const std::string& input, std::chrono::milliseconds limit) {
  const TemporaryDirectory scratch;
  ChildCommand command{.arguments = arguments,
                       .environment = environment,
                       .output = scratch.path() / "out",
                       .errors = scratch.path() / "err"};
  if (!input.empty()) command.input = scratch.write("in", input);
  ChildProcess process(command);
  const int exit_code = process.wait(limit);
  return {.exit_code = exit_code, .out = read_text(command.output), .err = read_text(command.errors)};
}

std::string read_text(const std::filesystem::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

}  // namespace pgstrata::testing
