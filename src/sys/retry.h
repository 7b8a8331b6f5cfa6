// Repeats a system call that a signal interrupted.
#pragma once

#include <cerrno>

namespace pgstrata {

template <class Call>
auto retry_interrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace pgstrata
