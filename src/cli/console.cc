#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/visible_text.h"

namespace pgstrata {
namespace {

constexpr std::size_t usual_columns = 80;

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return usual_columns;
  return size.ws_col;
}

}  // namespace

void Console::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  erase_progress();
  progress_.clear();
  out_ << visible_text(text);
}

Result<void> Console::finish() {
  const std::lock_guard lock(mutex_);
  out_.flush();
  if (!out_) {
    return std::unexpected(
        make_error(ErrorCode::failed, "could not write the results to standard output")
            .with_hint("The command itself has done its work; only its results were not shown."));
  }
  return {};
}

void Console::say(std::string_view line) {
  const std::lock_guard lock(mutex_);
  erase_progress();
  err_ << visible_text(line) << '\n';
  draw_progress();
  err_.flush();
}

void Console::show_progress(std::string_view line) {
  if (!err_is_terminal_) return;
  const std::lock_guard lock(mutex_);
  erase_progress();
  // A line that wraps could not be erased again.
  progress_ = line.substr(0, terminal_columns() - 1);
  draw_progress();
  err_.flush();
}

void Console::end_progress() {
  const std::lock_guard lock(mutex_);
  erase_progress();
  progress_.clear();
  err_.flush();
}

void Console::erase_progress() {
  if (!progress_.empty()) err_ << "\r\x1b[K";
}

void Console::draw_progress() {
  if (!progress_.empty()) err_ << progress_;
}

}  // namespace pgstrata
