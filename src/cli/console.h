// The two streams of a command: results on one, everything else on the other.
//
// Results go to `out` and are flushed at the end. Messages and the progress line share `err`: a message that
// comes while a progress line is shown takes its place, and the line is drawn again below. Of either no
// control character but newline and tab reaches the stream: visible_text. Thread-safe.
#pragma once

#include <mutex>
#include <ostream>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

class Console {
 public:
  // The streams are borrowed. A progress line is shown only when `err` is a terminal.
  Console(std::ostream& out, std::ostream& err, bool err_is_terminal)
      : out_(out), err_(err), err_is_terminal_(err_is_terminal) {}
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  [[nodiscard]] bool err_is_terminal() const { return err_is_terminal_; }

  // To the results, without a line end of its own.
  void print(std::string_view text);
  // Error: failed, when any part of the results could not be written.
  Result<void> finish();

  // One line to the messages.
  void say(std::string_view line);
  // Draws, or redraws, the progress line; without a terminal nothing happens.
  void show_progress(std::string_view line);
  // Takes the progress line away.
  void end_progress();

 private:
  void erase_progress();
  void draw_progress();

  std::mutex mutex_;
  std::ostream& out_;
  std::ostream& err_;
  const bool err_is_terminal_;
  std::string progress_;  // what is shown; guarded by mutex_, as are the streams
};

}  // namespace pgstrata
