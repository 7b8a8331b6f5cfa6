// How long to wait before the next attempt: 0.2 s, twice as long each time, 10 s at most, less up to a
// quarter at random so that many receivers do not come back at once. Belongs to one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>

namespace pgstrata {

// Evenly spread over [0, 1).
using RandomFraction = std::function<double()>;

class WalBackoff {
 public:
  explicit WalBackoff(RandomFraction random) : random_(std::move(random)) {}

  [[nodiscard]] std::chrono::milliseconds next() {
    const auto wait = wait_;
    wait_ = std::min(wait_ * 2, longest);
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(wait.count()) * (1.0 - 0.25 * random_())));
  }
  // It worked: the next wait is the shortest again.
  void reset() { wait_ = shortest; }

 private:
  static constexpr std::chrono::milliseconds shortest{200};
  static constexpr std::chrono::milliseconds longest{10'000};

  RandomFraction random_;
  std::chrono::milliseconds wait_ = shortest;
};

}  // namespace pgstrata
