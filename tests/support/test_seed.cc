#include "support/test_seed.h"

#include <charconv>
#include <cstdlib>
#include <random>
#include <string_view>

#include <fmt/format.h>

#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr const char* variable = "PGSTRATA_TEST_SEED";

std::optional<std::uint64_t> seed_asked_for() {
  const char* const value = std::getenv(variable);
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value;
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    throw TestFailure(fmt::format("{} is no number: \"{}\"", variable, text));
  return seed;
}

}  // namespace

std::uint64_t test_seed(std::optional<std::uint64_t> usual) {
  const auto asked_for = seed_asked_for();
  const std::uint64_t seed = asked_for ? *asked_for : usual ? *usual : std::random_device{}();
  fmt::print("seed {}: {}={} gives it again\n", seed, variable, seed);
  return seed;
}

}  // namespace pgstrata::testing
