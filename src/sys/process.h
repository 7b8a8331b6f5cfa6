// Child processes, by fork and exec, never through a shell.
//
// The child starts with default signal handling, no blocked signals and no descriptors beyond its three
// streams. Whatever keeps it from starting (no such program, no such user, no right to become that user) is
// an error of spawn, not an exit code. A ChildProcess belongs to one thread at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/bytes.h"
#include "base/cancellation.h"
#include "base/result.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

// Where one of the child's streams leads.
struct Redirect {
  enum class Kind { null, inherit, pipe, append, descriptor, same_as_output };

  // /dev/null.
  static Redirect null() { return {Kind::null, {}, {}}; }
  // The same as this process's.
  static Redirect inherit() { return {Kind::inherit, {}, {}}; }
  // ChildProcess holds the other end.
  static Redirect pipe() { return {Kind::pipe, {}, {}}; }
  // To the end of this file, made with mode 0600 by this process (before any change of user). Not for input.
  static Redirect append(std::filesystem::path file) { return {Kind::append, std::move(file), {}}; }
  // To what was opened by the caller, who keeps it open until spawn returns.
  static Redirect to(const FileDescriptor& opened) { return {Kind::descriptor, {}, &opened}; }
  // For errors: where the output goes.
  static Redirect same_as_output() { return {Kind::same_as_output, {}, {}}; }

  Kind kind;
  std::filesystem::path file;
  const FileDescriptor* opened;
};

struct ProcessOptions {
  // The program first; without a "/" it is looked up in this process's PATH.
  std::vector<std::string> arguments = {};
  // The variables of this process's environment that the child gets too; a name that ends with "*" stands for
  // all that begin so. Nothing: all of them, secrets included.
  std::optional<std::vector<std::string>> inherited_environment = {};
  // Added to those, or taking the place of what they say.
  std::vector<std::pair<std::string, std::string>> environment = {};
  // Runs as this user with its groups, HOME, USER and LOGNAME: needs root, unless it is this user already.
  std::optional<std::string> user = {};
  std::filesystem::path working_directory = {};  // empty: this process's
  // Leads a session of its own: no terminal's Ctrl-C reaches it, and the destructor ends its children too.
  bool new_session = false;
  Redirect input = Redirect::null();
  Redirect output = Redirect::inherit();
  Redirect errors = Redirect::inherit();
};

struct ExitStatus {
  int code = 0;    // when signal is 0
  int signal = 0;  // what killed it

  [[nodiscard]] bool success() const { return code == 0 && signal == 0; }
  // "exited with code 3", "was killed by signal 9 (Killed)".
  [[nodiscard]] std::string describe() const;
};

class ChildProcess {
 public:
  // Error: not_found (program or user), permission, failed; usage, when there are no arguments.
  static Result<ChildProcess> spawn(const ProcessOptions& options);

  // Kills the child, or its group when it leads a session, with SIGKILL and reaps it, unless it was waited
  // for or detached.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // This process's end of a stream that leads to a pipe; else no descriptor.
  [[nodiscard]] FileDescriptor& input() { return input_; }
  [[nodiscard]] FileDescriptor& output() { return output_; }
  [[nodiscard]] FileDescriptor& errors() { return errors_; }

  // Until it ends. Repeated calls return the same.
  Result<ExitStatus> wait();
  // Until it ends or time is up; then nothing. Error: cancelled; the child goes on.
  Result<std::optional<ExitStatus>> wait_for(std::chrono::milliseconds span,
                                             const Cancellation* cancellation = nullptr);
  // One that has ended is no error.
  Result<void> signal(int number);
  // It goes on after this object. Nobody reaps it until this process ends.
  void detach() { pid_ = 0; }

 private:
  ChildProcess(pid_t pid, bool leads_session) : pid_(pid), leads_session_(leads_session) {}
  void kill_and_reap();

  pid_t pid_ = 0;  // 0: nothing to kill or reap
  bool leads_session_ = false;
  std::optional<ExitStatus> ended_;
  FileDescriptor input_;
  FileDescriptor output_;
  FileDescriptor errors_;
};

struct CommandResult {
  ExitStatus status;
  Bytes output;
  Bytes errors;
};

struct CommandOptions {
  std::size_t capture_limit_bytes = std::size_t{16} << 20;  // of each stream; what exceeds it is dropped
  const Cancellation* cancellation = nullptr;               // kills the child
};

// Runs to the end with output and errors captured, whatever `process` says of them. A bad exit code is no
// error here: look at the status. Error: those of spawn; cancelled.
[[nodiscard]] Result<CommandResult> run_command(ProcessOptions process, const CommandOptions& options = {});

// The path of the program that this process runs. Errors: those of reading /proc/self/exe.
[[nodiscard]] Result<std::filesystem::path> own_program();
// The program's path as exec would find it. Error: not_found.
[[nodiscard]] Result<std::filesystem::path> find_program(const std::string& name);

}  // namespace pgstrata
