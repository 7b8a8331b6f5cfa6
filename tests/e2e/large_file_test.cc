// Files over 1 GiB, byte by byte: PostgreSQL cuts relations there, whatever else is in a data directory may
// be of any size.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "e2e/main_job_fixture.h"

namespace pgstrata::testing {
namespace {

constexpr std::uint64_t gibibyte = 1ULL << 30;
constexpr std::uint64_t large_bytes = gibibyte + (320ULL << 20) + 4321;

class LargeFileTest : public MainJobTest {
 protected:
  static void write_at(const std::filesystem::path& path, std::uint64_t offset, const std::string& bytes) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const auto written = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    close(file);
    if (written != static_cast<ssize_t>(bytes.size())) throw TestFailure("could not write " + path.string());
  }
  static void expect_same(const std::filesystem::path& ours, const std::filesystem::path& theirs) {
    const ProgramRun run = run_program({"/usr/bin/cmp", ours.string(), theirs.string()});
    EXPECT_EQ(run.exit_code, 0) << run.describe();
  }
};

TEST_F(LargeFileTest, ComesBackByteByByteAndDeltaRepairsItBeyondTheFirstGibibyte) {
  PostgresServer source;
  source.start();
  const auto original = source.data_directory() / "base" / "large";
  for (const std::uint64_t offset : std::initializer_list<std::uint64_t>{
           0, 131'071, (64ULL << 20) + 17, gibibyte - 131'072, gibibyte - 5, gibibyte + 8192,
           gibibyte + 131'071, gibibyte + (128ULL << 20) - 3, large_bytes - 4000})
    write_at(original, offset, fmt::format("written at {}, not zero", offset));
  std::filesystem::resize_file(original, large_bytes);
  protect(source);
  EXPECT_GT(backup().at("total_bytes"), large_bytes);

  restore("restored", {"--latest"});
  const auto copy = path("restored") / "base" / "large";
  expect_same(original, copy);

  write_at(copy, gibibyte + 131'080, "x");             // data
  write_at(copy, gibibyte + (200ULL << 20) + 3, "x");  // among zeros
  write_at(copy, large_bytes, "what was appended to it");
  const Json outcome = restore("restored", {"--latest", "--delta"}).at("restored");
  expect_same(original, copy);
  EXPECT_LT(outcome.at("written_bytes"), 8U << 20);
}

}  // namespace
}  // namespace pgstrata::testing
