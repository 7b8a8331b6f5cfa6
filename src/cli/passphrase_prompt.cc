#include "cli/passphrase_prompt.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr const char* terminal_path = "/dev/tty";
constexpr std::size_t line_size_max_bytes = 4096;

// What is typed is not shown while this lives.
class HiddenInput {
 public:
  explicit HiddenInput(const FileDescriptor& terminal) : terminal_(terminal) {
    if (tcgetattr(terminal_.get(), &before_) != 0) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    hidden_ = tcsetattr(terminal_.get(), TCSAFLUSH, &hidden) == 0;
  }
  ~HiddenInput() {
    if (hidden_) tcsetattr(terminal_.get(), TCSAFLUSH, &before_);
  }
  HiddenInput(const HiddenInput&) = delete;
  HiddenInput& operator=(const HiddenInput&) = delete;

  [[nodiscard]] bool hidden() const { return hidden_; }

 private:
  const FileDescriptor& terminal_;
  termios before_{};
  bool hidden_ = false;
};

Result<std::string> read_line(const FileDescriptor& terminal) {
  std::string line;
  while (true) {
    // poll, unlike a read that is tried again, ends with EINTR at a signal.
    pollfd waiting{.fd = terminal.get(), .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, -1) < 0) return fail(ErrorCode::cancelled, "stopped on request");
    std::byte byte{};
    PGS_TRY(const std::size_t count, read_some(terminal, {&byte, 1}));
    if (count == 0) return fail(ErrorCode::cancelled, "nothing was typed");
    if (byte == std::byte{'\n'}) return line;
    if (line.size() == line_size_max_bytes) return fail(ErrorCode::usage, "what was typed is too long");
    line.push_back(static_cast<char>(byte));
  }
}

}  // namespace

bool can_ask() {
  return isatty(STDIN_FILENO) == 1 && open_file(terminal_path, O_RDWR | O_NOCTTY).has_value();
}

Result<std::string> ask_passphrase(std::string_view question) {
  PGS_TRY(const FileDescriptor terminal, open_file(terminal_path, O_RDWR | O_NOCTTY));
  const HiddenInput hidden(terminal);
  if (!hidden.hidden()) return fail(ErrorCode::failed, "could not hide the input of the terminal");
  PGS_CHECK(write_all(terminal, as_byte_view(question)));
  auto line = read_line(terminal);
  PGS_CHECK(write_all(terminal, as_byte_view("\n")));
  return line;
}

Result<std::string> ask_word(std::string_view question) {
  PGS_TRY(const FileDescriptor terminal, open_file(terminal_path, O_RDWR | O_NOCTTY));
  PGS_CHECK(write_all(terminal, as_byte_view(question)));
  return read_line(terminal);
}

}  // namespace pgstrata
