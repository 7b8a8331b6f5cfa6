// A terminal that a program writes to and a test reads.
#pragma once

#include <filesystem>
#include <string>

namespace pgstrata::testing {

// Name path() as a child's output or errors. Not thread-safe.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // All that was written so far, control characters included. A writer that is ahead by some KiB waits for
  // it.
  const std::string& text();
  // What stands on the last line: what was written since it was last erased or begun.
  std::string last_line();

 private:
  int master_;
  std::filesystem::path path_;
  std::string text_;
};

}  // namespace pgstrata::testing
