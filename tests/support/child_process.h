// Programs that tests start. When the tests run as root, these run as user `postgres`, because PostgreSQL
// refuses root; otherwise as the user who runs the tests.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

namespace pgstrata::testing {

struct ServerUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  bool differs = false;  // from the user who runs the tests
};

// Throws TestFailure when the tests run as root and there is no user `postgres`.
[[nodiscard]] const ServerUser& server_user();

// A folder pgs.XXXXXX in $TMPDIR, or /tmp where that is not set, of the server user, mode 0700, removed with
// all it holds by the destructor. Its path must be short: a Unix socket's is limited to 107 bytes.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // A new folder inside, of the server user, mode 0700.
  [[nodiscard]] std::filesystem::path make(const std::string& name) const;
  // A new file inside, of the server user, mode 0600.
  [[nodiscard]] std::filesystem::path write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

using Environment = std::map<std::string, std::string>;

struct ChildCommand {
  std::vector<std::string> arguments;  // the first is the program's absolute path
  Environment environment{};           // added to ours, from which PG* and PGSTRATA_* are removed
  std::filesystem::path input = "/dev/null";
  std::filesystem::path output{};  // appended to
  std::filesystem::path errors{};  // appended to; may be the same file
  int signal_when_orphaned = 9;    // what it gets when the thread that started it ends
  bool as_server_user = true;      // else as the user who runs the tests
};

// One running program. The destructor kills it. Not thread-safe; start it from a thread that outlives it.
class ChildProcess {
 public:
  explicit ChildProcess(const ChildCommand& command);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  // Does nothing once it has ended.
  void send_signal(int signal_number);
  // The exit code, or 128 and the signal's number. Throws TestFailure when it still runs after `limit`.
  int wait(std::chrono::milliseconds limit);

 private:
  std::string name_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = -1;
};

struct ProgramRun {
  int exit_code = -1;
  std::string out{};
  std::string err{};

  // For failure messages: `EXPECT_EQ(run.exit_code, 0) << run.describe()`.
  [[nodiscard]] std::string describe() const;
};

// Runs to the end; throws TestFailure when that takes longer than `limit`.
[[nodiscard]] ProgramRun run_program(const std::vector<std::string>& arguments,
                                     const Environment& environment = {}, const std::string& input = {},
                                     std::chrono::milliseconds limit = std::chrono::minutes(5));

// The whole file; nothing when it does not exist.
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

}  // namespace pgstrata::testing
