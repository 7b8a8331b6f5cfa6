#include "sys/process_launch.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <grp.h>
#include <unistd.h>

#include "sys/files.h"

extern char** environ;

namespace pgstrata {
namespace {

void set_variable(std::vector<std::string>& environment, const std::string& name, const std::string& value) {
  std::erase_if(environment, [&](const std::string& entry) {
    return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
  });
  environment.push_back(name + "=" + value);
}

bool is_inherited(std::string_view entry, const ProcessOptions& options) {
  if (!options.inherited_environment) return true;
  const auto name = entry.substr(0, entry.find('='));
  return std::ranges::any_of(*options.inherited_environment, [&](std::string_view wanted) {
    if (!wanted.ends_with('*')) return name == wanted;
    return name.starts_with(wanted.substr(0, wanted.size() - 1));
  });
}

std::vector<std::string> child_environment(const ProcessOptions& options,
                                           const std::optional<UserSwitch>& user) {
  std::vector<std::string> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (is_inherited(*entry, options)) environment.emplace_back(*entry);
  }
  if (user) {
    set_variable(environment, "HOME", user->home);
    set_variable(environment, "USER", *options.user);
    set_variable(environment, "LOGNAME", *options.user);
  }
  for (const auto& [name, value] : options.environment) set_variable(environment, name, value);
  return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void give_up(int failure_pipe, LaunchStep step) {
  const LaunchFailure failure{.step = step, .error_number = errno};
  (void)!::write(failure_pipe, &failure, sizeof failure);
  ::_exit(127);
}

// Descriptors to install may themselves be 0, 1 or 2: move them out of the way first.
bool install_streams(std::array<int, 3> streams) {
  for (int& stream : streams) {
    if (stream >= 0 && stream <= 2) stream = ::fcntl(stream, F_DUPFD_CLOEXEC, 3);
    if (stream == -1 && errno == EMFILE) return false;
  }
  for (int target = 0; target < 3; ++target) {
    const int stream = streams[static_cast<std::size_t>(target)];
    if (stream >= 0 && ::dup2(stream, target) < 0) return false;
  }
  return true;
}

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string_view describe(LaunchStep step) {
  switch (step) {
    case LaunchStep::session:
      return "start a session";
    case LaunchStep::streams:
      return "redirect streams";
    case LaunchStep::directory:
      return "enter the working directory";
    case LaunchStep::groups:
      return "set the groups of the user";
    case LaunchStep::group:
      return "set the group of the user";
    case LaunchStep::user:
      return "become the user";
    case LaunchStep::exec:
      return "execute it";
  }
  return "start";
}

}  // namespace

Result<Launch> prepare_launch(const ProcessOptions& options) {
  if (options.arguments.empty()) return fail(ErrorCode::usage, "no program to run");
  Launch launch;
  PGS_TRY(launch.program, find_program(options.arguments.front()));
  launch.arguments = options.arguments;
  if (options.user) {
    PGS_TRY(UserSwitch user, look_up_user(*options.user));
    // Becoming oneself needs no rights, so do not ask for any.
    if (user.user != ::geteuid()) launch.user = std::move(user);
  }
  launch.environment = child_environment(options, launch.user);
  launch.working_directory = options.working_directory.native();
  launch.new_session = options.new_session;
  launch.argument_pointers = pointers_to(launch.arguments);
  launch.environment_pointers = pointers_to(launch.environment);
  return launch;
}

void launch_in_child(const Launch& launch, int failure_pipe) {
  reset_signals();
  if (launch.new_session && ::setsid() < 0) give_up(failure_pipe, LaunchStep::session);
  if (!install_streams(launch.streams)) give_up(failure_pipe, LaunchStep::streams);
  // Ours are close-on-exec already; those of libraries may not be. Where the kernel does not know the call,
  // that has to do.
  (void)::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (launch.user) {
    if (::setgroups(launch.user->groups.size(), launch.user->groups.data()) != 0) {
      give_up(failure_pipe, LaunchStep::groups);
    }
    if (::setgid(launch.user->group) != 0) give_up(failure_pipe, LaunchStep::group);
    if (::setuid(launch.user->user) != 0) give_up(failure_pipe, LaunchStep::user);
  }
  if (!launch.working_directory.empty() && ::chdir(launch.working_directory.c_str()) != 0) {
    give_up(failure_pipe, LaunchStep::directory);
  }
  ::execve(launch.program.c_str(), launch.argument_pointers.data(), launch.environment_pointers.data());
  give_up(failure_pipe, LaunchStep::exec);
}

Error launch_error(const ProcessOptions& options, LaunchFailure failure) {
  std::string what =
      fmt::format("could not run \"{}\": could not {}", options.arguments.front(), describe(failure.step));
  if (failure.step == LaunchStep::directory)
    what += fmt::format(" \"{}\"", options.working_directory.native());
  if (options.user && (failure.step == LaunchStep::user || failure.step == LaunchStep::group ||
                       failure.step == LaunchStep::groups)) {
    what += fmt::format(" \"{}\"", *options.user);
  }
  return error_from_errno(failure.error_number, what);
}

Result<std::filesystem::path> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    PGS_TRY(const bool exists, file_exists(name));
    if (!exists) return fail(ErrorCode::not_found, "there is no program \"{}\"", name);
    std::error_code error;
    return std::filesystem::absolute(name, error);  // whatever working directory the child gets
  }
  const char* const variable = std::getenv("PATH");
  std::string_view rest = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty() && !name.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::filesystem::path candidate = std::filesystem::path(rest.substr(0, end)) / name;
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::error_code error;
    if (std::filesystem::is_regular_file(candidate, error) && ::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return fail(ErrorCode::not_found, "there is no program \"{}\" in PATH", name);
}

}  // namespace pgstrata
