#include "support/terminal.h"

#include <array>
#include <cstdlib>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/test_failure.h"

namespace pgstrata::testing {

Terminal::Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) {
  std::array<char, 64> name{};
  // Wide enough for whatever is shown.
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 200;
  if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0 ||
      ::ptsname_r(master_, name.data(), name.size()) != 0 || ::ioctl(master_, TIOCSWINSZ, &size) != 0) {
    throw TestFailure("could not make a terminal");
  }
  path_ = name.data();
}

Terminal::~Terminal() {
  ::close(master_);
}

const std::string& Terminal::text() {
  std::array<char, 4096> buffer{};
  // Fails when there is nothing, or nobody to write.
  for (ssize_t count = 0; (count = ::read(master_, buffer.data(), buffer.size())) > 0;)
    text_.append(buffer.data(), static_cast<std::size_t>(count));
  return text_;
}

std::string Terminal::last_line() {
  const auto end = text().find_last_of("\n\r");
  std::string line = end == std::string::npos ? text_ : text_.substr(end + 1);
  const std::string erase = "\x1b[K";
  if (line.starts_with(erase)) line.erase(0, erase.size());
  return line;
}

}  // namespace pgstrata::testing
