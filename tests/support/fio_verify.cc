#include "support/fio_verify.h"

#include <algorithm>
#include <vector>

#include "support/child_process.h"

namespace pgstrata::testing {
namespace {

// Small blocks write less, so that each job takes about as long. All write their file whole: fio
// makes one anew that is shorter than it expects, even when it is only to verify.
struct FioJob {
  const char* how;
  const char* block;
  const char* size;
  const char* writes_per_fsync;
};
constexpr FioJob fio_jobs[] = {{"write", "4k", "8m", "256"},      {"write", "8k", "16m", "256"},
                               {"write", "128k", "64m", "64"},    {"randwrite", "4k", "8m", "128"},
                               {"randwrite", "8k", "16m", "128"}, {"randwrite", "128k", "64m", "64"}};

// The same jobs in the same order each time, and so the same random offsets.
std::vector<std::string> fio_arguments(const std::filesystem::path& directory) {
  std::vector<std::string> arguments = {"/usr/bin/fio",     "--directory=" + directory.string(),
                                        "--ioengine=psync", "--verify=crc32c",
                                        "--verify_fatal=1", "--verify_state_save=0",
                                        "--randrepeat=1",   "--fallocate=none",
                                        "--thread"};
  for (const FioJob& job : fio_jobs) {
    const std::vector<std::string> own = {std::string("--name=") + job.how + "_" + job.block,
                                          std::string("--rw=") + job.how,
                                          std::string("--bs=") + job.block,
                                          std::string("--size=") + job.size,
                                          std::string("--fsync=") + job.writes_per_fsync,
                                          "--stonewall"};
    arguments.insert(arguments.end(), own.begin(), own.end());
  }
  return arguments;
}

FioVerdict verdict_on(const std::vector<std::string>& arguments) {
  const ProgramRun run = run_program(arguments);
  if (run.exit_code == 0) return {.passed = true};
  return {.passed = false, .output = run.describe()};
}

}  // namespace

FioVerdict run_fio_verify(const std::filesystem::path& directory, const std::function<void()>& between) {
  auto arguments = fio_arguments(directory);
  if (auto verdict = verdict_on(arguments); !verdict.passed) return verdict;
  if (between) between();
  // Of all jobs, so before the first is named.
  arguments.insert(std::ranges::find(arguments, "--thread"), "--verify_only=1");
  return verdict_on(arguments);
}

}  // namespace pgstrata::testing
