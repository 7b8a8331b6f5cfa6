// Running the program under test, as the server user.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/child_process.h"
#include "support/other_machine.h"

namespace pgstrata::testing {

// The path of the program that this build made. When the server user cannot reach it there (a checkout in
// /root), the path of a copy that lives as long as the test process.
[[nodiscard]] std::string pgstrata_path();

// While one lives, the program runs as the user who runs the tests, root as well: who may mount file systems
// where the server user may not. Repositories it makes meanwhile are that user's.
class PgstrataAsOurselves {
 public:
  PgstrataAsOurselves();
  ~PgstrataAsOurselves();
  PgstrataAsOurselves(const PgstrataAsOurselves&) = delete;
  PgstrataAsOurselves& operator=(const PgstrataAsOurselves&) = delete;
};

// Runs `pgstrata ARGUMENTS...` to the end. Throws TestFailure when that takes longer than `limit`.
[[nodiscard]] ProgramRun run_pgstrata(std::vector<std::string> arguments, const Environment& environment = {},
                                      std::chrono::milliseconds limit = std::chrono::minutes(5));

// The same, left running, for `stream` and `serve`. The destructor kills it. Not thread-safe.
class BackgroundPgstrata {
 public:
  explicit BackgroundPgstrata(std::vector<std::string> arguments, const Environment& environment = {});
  // On a machine, which has to outlive it.
  BackgroundPgstrata(const OtherMachine& machine, std::vector<std::string> arguments,
                     const Environment& environment);

  // Until stdout or stderr holds `text`; throws TestFailure, with both, when it ends before or after `limit`.
  void wait_for_output(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds(60));
  [[nodiscard]] bool running() { return process_->running(); }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }
  void send_signal(int signal_number);
  // Returns when it is gone.
  ProgramRun kill9();
  // Waits for its end; sends nothing.
  ProgramRun wait(std::chrono::milliseconds limit = std::chrono::seconds(60));
  // SIGTERM, then wait.
  ProgramRun terminate(std::chrono::milliseconds limit = std::chrono::seconds(60));
  // What it wrote so far.
  [[nodiscard]] std::string output() const;
  [[nodiscard]] std::string errors() const;

 private:
  TemporaryDirectory scratch_;
  std::unique_ptr<ChildProcess> process_;
  bool elsewhere_ = false;
};

}  // namespace pgstrata::testing
