// Everything that a store may do to a receiver, at each of its steps: whatever was reported durable stays
// readable, and receiving goes on to the same result as without any fault.
#include "capture/wal_sink_test.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata {
namespace {

struct CrashCase {
  Fault::Kind kind;
  ErrorCode code = ErrorCode::unavailable;
  int threads = 0;
  std::uint64_t seed = 1;
  bool journals = true;
};

class WalCrashTest : public WalSinkTest {
 protected:
  // Receives the sample with a fault at `step`; false when the run had fewer steps.
  bool run(const CrashCase& crash, std::uint64_t step) {
    MemoryStore with_journals;
    StoreWithoutJournals without_journals;
    MemoryStore& beneath = crash.journals ? with_journals : without_journals;
    FaultStore faulty(beneath, crash.seed * 1000 + step);
    faulty.set_fault({.kind = crash.kind, .at_step = step, .step_count = 1, .code = crash.code});
    std::mt19937_64 random(crash.seed);
    Lsn durable = wal_sample().start;
    receive(space_over(faulty), crash.threads, random, durable);
    const auto when = fmt::format("seed {}, {} threads, {}", crash.seed, crash.threads, faulty.last_fault());
    const bool struck = !faulty.last_fault().empty();
    if (crash.kind == Fault::Kind::crash && !faulty.crashed()) faulty.crash();

    // Reopened by a new process.
    const auto space = space_over(beneath);
    expect_stored(space, durable, when);
    receive(space, crash.threads, random, durable);
    EXPECT_EQ(durable, wal_sample().end()) << when;
    expect_complete(space, when);
    return struck;
  }

  void receive(const ClusterSpace& space, int threads, std::mt19937_64& random, Lsn& durable) {
    auto sink = open(space, threads);
    if (!sink) return;
    EXPECT_GE((*sink)->durable(), durable);
    static_cast<void>(feed(**sink, wal_sample().end(), random, durable));
  }

  void run_all(const CrashCase& crash, std::uint64_t stride) {
    std::uint64_t step = 1;
    while (run(crash, step) && !HasFailure()) step += stride * fault_step_stride;
    EXPECT_GT(step, 20U) << "the run had steps to fail at";
  }
};

TEST_F(WalCrashTest, ACrashAtAnyStepLosesNothingThatWasDurable) {
  for (const std::uint64_t seed : {1U, 2U}) run_all({.kind = Fault::Kind::crash, .seed = seed}, 1);
}

TEST_F(WalCrashTest, NorWithSegmentsSealedSideBySide) {
  run_all({.kind = Fault::Kind::crash, .threads = 2, .seed = 3}, 2);
}

TEST_F(WalCrashTest, NorWhereEachTailIsPutWhole) {
  run_all({.kind = Fault::Kind::crash, .seed = 6, .journals = false}, 1);
  run_all({.kind = Fault::Kind::crash, .threads = 2, .seed = 7, .journals = false}, 2);
  run_all({.kind = Fault::Kind::lost_answer, .seed = 8, .journals = false}, 1);
  run_all({.kind = Fault::Kind::error, .seed = 9, .journals = false}, 1);
}

TEST_F(WalCrashTest, AFullDiskAtAnyStepLosesNothing) {
  run_all({.kind = Fault::Kind::error, .code = ErrorCode::no_space, .seed = 4}, 1);
}

TEST_F(WalCrashTest, ALostAnswerAtAnyStepLosesNothing) {
  run_all({.kind = Fault::Kind::lost_answer, .seed = 5}, 1);
}

}  // namespace
}  // namespace pgstrata
