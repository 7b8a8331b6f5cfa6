// Waiting for a condition, with a limit: the only way tests wait.
#pragma once

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "support/test_failure.h"

namespace pgstrata::testing {

// Asks `condition` until it is true, the more rarely the longer it takes: to ask is often a new connection to a
// server, which takes more of the processor than it waits for. Throws TestFailure, naming `what`, after `limit`.
template <class Condition>
void wait_until(std::string_view what, Condition&& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  using std::chrono::milliseconds;
  const auto begun = std::chrono::steady_clock::now();
  while (!condition()) {
    const auto waited = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begun);
    if (waited >= limit) throw TestFailure(fmt::format("waited {} ms in vain for {}", limit.count(), what));
    std::this_thread::sleep_for(std::clamp(waited / 8, milliseconds(5), milliseconds(200)));
  }
}

}  // namespace pgstrata::testing
