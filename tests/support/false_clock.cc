#include "support/false_clock.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

// Debian's libfaketime.
constexpr auto library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

}  // namespace

FalseClock::FalseClock() {
  if (!std::filesystem::exists(library)) {
    throw TestFailure(fmt::format("{} is missing: scripts/install-packages test", library));
  }
  (void)directory_.write("offset", "+0\n");
}

Environment FalseClock::environment() const {
  return {{"LD_PRELOAD", library},
          {"FAKETIME_TIMESTAMP_FILE", (directory_.path() / "offset").string()},
          {"FAKETIME_NO_CACHE", "1"},
          {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
}

// Replaced as a whole: a reader never sees half of it.
void FalseClock::set(std::chrono::seconds offset) {
  const auto next = directory_.path() / "next";
  std::ofstream(next) << fmt::format("{:+}\n", offset.count());
  std::filesystem::permissions(next, std::filesystem::perms::all);
  std::filesystem::rename(next, directory_.path() / "offset");
}

}  // namespace pgstrata::testing
