#include "base/cancellation.h"

#include <cerrno>
#include <cstdint>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"

namespace pgstrata {

Cancellation::Cancellation() : event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { PGS_ASSERT(event_fd_ >= 0); }

Cancellation::~Cancellation() { close(event_fd_); }

void Cancellation::request() noexcept {
  const int saved_errno = errno;
  requested_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = write(event_fd_, &one, sizeof one);
  errno = saved_errno;
}

Result<void> Cancellation::check() const {
  if (requested()) return fail(ErrorCode::cancelled, "stopped on request");
  return {};
}

bool Cancellation::wait_for(std::chrono::milliseconds span) const {
  const auto end = std::chrono::steady_clock::now() + span;
  while (!requested()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{event_fd_, POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(left));
  }
  return true;
}

}  // namespace pgstrata
