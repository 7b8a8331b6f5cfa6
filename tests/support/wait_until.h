// Waiting for a condition, with a limit: the only way tests wait.
#pragma once

#include <chrono>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "support/test_failure.h"

namespace pgstrata::testing {

// Asks `condition` every few milliseconds until it is true. Throws TestFailure, naming `what`, after `limit`.
template <class Condition>
void wait_until(std::string_view what, Condition&& condition,
                std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) {
      throw TestFailure(fmt::format("waited {} ms in vain for {}", limit.count(), what));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace pgstrata::testing
