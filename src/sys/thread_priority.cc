#include "sys/thread_priority.h"

#include <sys/resource.h>

namespace pgstrata {

void step_back() noexcept {
  constexpr int niceness = 5;
  // Linux: of the calling thread only.
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, niceness));
}

}  // namespace pgstrata
