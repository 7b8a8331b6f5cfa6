// Root as it is in a container without CAP_SYS_PTRACE: it may not see where processes of other users work.
#pragma once

#include <array>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/test_failure.h"

namespace pgstrata::testing {

// Takes the right from the calling thread until the destructor gives it back. Whoever is not root never had
// it.
class NoSightOfOthers {
 public:
  NoSightOfOthers() {
    if (::syscall(SYS_capget, &header_, had_.data()) != 0) throw TestFailure("could not read capabilities");
    auto fewer = had_;
    fewer[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective &= ~CAP_TO_MASK(CAP_SYS_PTRACE);
    if (::syscall(SYS_capset, &header_, fewer.data()) != 0) throw TestFailure("could not drop a capability");
  }
  ~NoSightOfOthers() { (void)::syscall(SYS_capset, &header_, had_.data()); }
  NoSightOfOthers(const NoSightOfOthers&) = delete;
  NoSightOfOthers& operator=(const NoSightOfOthers&) = delete;

 private:
  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> had_{};
};

}  // namespace pgstrata::testing
