// A clock that a test sets, for real programs: libfaketime, told through a file. Only the wall clock is
// false; what programs measure and wait by stays true.
#pragma once

#include <chrono>

#include "support/child_process.h"

namespace pgstrata::testing {

class FalseClock {
 public:
  FalseClock();  // as the true one

  // For whom it is to hold; also for what they start.
  [[nodiscard]] Environment environment() const;
  // From now on, against the true clock. Negative: behind it.
  void set(std::chrono::seconds offset);

 private:
  TemporaryDirectory directory_;
};

}  // namespace pgstrata::testing
