// Everybody at work on one repository at once, in thousands of orders: docs/testing.md, "Simulation".
#include <cstdlib>

#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sanitized.h"
#include "catalog/cluster_record.h"
#include "restore/restore_test_support.h"
#include "retention/simulated_work.h"

namespace pgstrata::testing {
namespace {

// Where the process's randomness comes from while a simulation runs: ids and keys follow from the seed, too.
struct SimulatedRandomness {
  std::mutex mutex;
  SimulationRandom* source = nullptr;
};
SimulatedRandomness& simulated_randomness() {
  static SimulatedRandomness randomness;
  return randomness;
}

}  // namespace
}  // namespace pgstrata::testing

// In the place of the C library's.
extern "C" ssize_t getrandom(void* into, size_t size_bytes, unsigned flags) noexcept {
  auto& randomness = pgstrata::testing::simulated_randomness();
  const std::lock_guard lock(randomness.mutex);
  if (randomness.source == nullptr) return ::syscall(SYS_getrandom, into, size_bytes, flags);
  randomness.source->fill(into, size_bytes);
  return static_cast<ssize_t>(size_bytes);
}

namespace pgstrata::testing {
namespace {

class RandomnessOfASeed {
 public:
  explicit RandomnessOfASeed(std::uint64_t seed) : random_(seed), before_(set(&random_)) {}
  ~RandomnessOfASeed() { set(before_); }
  RandomnessOfASeed(const RandomnessOfASeed&) = delete;
  RandomnessOfASeed& operator=(const RandomnessOfASeed&) = delete;

 private:
  static SimulationRandom* set(SimulationRandom* source) {
    auto& randomness = simulated_randomness();
    const std::lock_guard lock(randomness.mutex);
    return std::exchange(randomness.source, source);
  }
  SimulationRandom random_;
  SimulationRandom* const before_;
};

// Those at work die by the dozen, and say so.
class NoWords : public LogSink {
 public:
  NoWords() { set_log_sink(this); }
  ~NoWords() override { set_log_sink(nullptr); }
  void write(Severity, std::string_view) override {}
};

struct SimulationOutcome {
  std::string violation;
  std::string trace;
  std::uint64_t steps = 0;
};

// What each run begins with: five snapshots, three hours apart, what an interrupted run left two days before, and a copy
// that was made in between.
class Beginning {
 public:
  static Beginning& instance() {
    static Beginning made;
    return made;
  }

  void give(SimulatedWorld& world) {
    world.clock.pass(world_.clock.now() - world.clock.now());
    world.source.take_over(world_.source.memory());
    world.copy.take_over(world_.copy.memory());
    world.sealed_at = world_.sealed_at;
  }

 private:
  Beginning() : world_(1) {
    const RandomnessOfASeed randomness(1);
    world_.scheduler.be_calm();
    std::vector<std::unique_ptr<Actor>> actors;
    actors.push_back(std::make_unique<Actor>());
    actors.back()->work = [this](Actor& actor) { live(actor); };
    world_.scheduler.run(actors);
  }

  void live(Actor& actor) {
    using std::chrono::hours;
    must(put_cluster_record(world_.source.space, {}));
    must(StreamWork(world_, actor, world_.source).run());
    must(BackupWork(world_, actor, world_.source).store_files());
    world_.clock.pass(hours(48));
    for (int snapshot = 0; snapshot < 5; ++snapshot) {
      world_.clock.pass(hours(3));
      must(StreamWork(world_, actor, world_.source).run());
      must(BackupWork(world_, actor, world_.source).run());
      if (snapshot == 2) must(CopyWork(world_, actor, world_.copy).run());
    }
  }

  SimulatedWorld world_;
};

class PruneSimulation {
 public:
  PruneSimulation(std::uint64_t seed, bool keep_trace)
      : randomness_(seed), world_(seed ^ 0x9E3779B97F4A7C15U) {
    world_.scheduler.keep_trace = keep_trace;
    world_.scheduler.let_something_happen = [this] {
      if (!world_.source.violation.empty() || !world_.copy.violation.empty()) world_.scheduler.stop();
      world_.let_something_happen();
    };
  }

  SimulationOutcome run() {
    Beginning::instance().give(world_);
    add_actors();
    world_.scheduler.run(actors_);
    settle(world_.source);
    if (is_copied_) settle(world_.copy);
    return {world_.source.violation.empty() ? world_.copy.violation : world_.source.violation,
            std::move(world_.scheduler.trace), world_.scheduler.steps()};
  }

 private:
  template <class Work>
  void add(std::string name, SimulatedRepository& repository, std::uint64_t times_max) {
    auto actor = std::make_unique<Actor>();
    actor->name = std::move(name);
    actor->work = [this, &repository, times = 1 + random().below(times_max)](Actor& self) {
      for (std::uint64_t time = 0; time < times; ++time) {
        Work work(world_, self, repository);
        const auto done = work.run();
        world_.scheduler.note(self.name, "ends: " + message_of(done));
      }
    };
    actors_.push_back(std::move(actor));
  }

  template <class Work>
  void maybe_add(std::string name, SimulatedRepository& repository, std::uint64_t times_max) {
    if (random().one_in(2)) add<Work>(std::move(name), repository, times_max);
  }

  // Not all in each run: what few do is looked at more closely.
  void add_actors() {
    world_.shortest_window = std::chrono::hours(random().one_of<int>({0, 0, 4, 8}));
    auto& source = world_.source;
    add<PruneWork>("prune", source, 3);
    maybe_add<PruneWork>("prune-2", source, 2);
    maybe_add<BackupWork>("backup", source, 3);
    maybe_add<BackupWork>("backup-2", source, 2);
    maybe_add<StreamWork>("stream", source, 4);
    maybe_add<ReaderWork>("reader", source, 4);
    maybe_add<ReaderWork>("reader-2", source, 4);
    if (random().one_in(2)) add_copying();
  }

  void add_copying() {
    auto& copy = world_.copy;
    is_copied_ = true;
    add<CopyWork>("copy", copy, 2);
    maybe_add<CopyWork>("copy-2", copy, 2);
    maybe_add<PruneWork>("prune-3", copy, 3);
    maybe_add<PruneWork>("prune-4", copy, 2);
    maybe_add<ReaderWork>("reader-3", copy, 3);
  }

  void settle(SimulatedRepository& repository) {
    if (!repository.violation.empty()) return;
    repository.check_at_rest(world_.shortest_window, random().one_in(4));
    world_.clock.pass(std::chrono::hours(25));
    const ClusterSpace space(repository, "app", repository.space.key());
    const PruneRequest request{.wal_segment_bytes = simulated_segment_bytes,
                               .policy = {},
                               .clock = world_.clock,
                               .cancellation = world_.cancellation,
                               .still_allowed = [] { return Result<void>(); }};
    const auto pruned = prune_cluster(space, request);
    if (!pruned) return repository.fail("the last prune: " + pruned.error().describe());
    if (!pruned->waits_for.empty()) repository.fail("the last prune waits for " + pruned->waits_for);
    repository.check_nothing_left_over();
  }

  SimulationRandom& random() { return world_.scheduler.random; }

  RandomnessOfASeed randomness_;
  SimulatedWorld world_;
  std::vector<std::unique_ptr<Actor>> actors_;
  bool is_copied_ = false;
};

std::uint64_t number_in_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// False when it found something, which is told with how to have it again.
bool simulate(std::uint64_t seed, bool keep_trace, std::uint64_t& steps) {
  const auto outcome = PruneSimulation(seed, keep_trace).run();
  steps += outcome.steps;
  if (outcome.violation.empty()) return true;
  ADD_FAILURE() << outcome.violation << "\n"
                << outcome.trace << "PGSTRATA_SIMULATION_SEED=" << seed << " shows how it came to that";
  return false;
}

// Each finds a defect that there was: a prune that said it would lose what an older note took; a copy without a lease that
// took away, to put it again, what another one had put; a prune that was overtaken and left a witness alone.
constexpr std::array<std::uint64_t, 5> seeds_that_found_something{394, 506, 834, 848, 3828};

TEST(PruneSimulation, NothingInUseIsEverRemoved) {
  const NoWords no_words;
  std::uint64_t steps = 0;
  if (const auto seed = number_in_environment("PGSTRATA_SIMULATION_SEED", 0); seed != 0) {
    simulate(seed, true, steps);
    return;
  }
  for (const std::uint64_t seed : seeds_that_found_something) simulate(seed, false, steps);
  const auto first = number_in_environment("PGSTRATA_SIMULATION_FIRST_SEED", 1);
  const auto count = number_in_environment("PGSTRATA_SIMULATION_SCHEDULES", sanitized ? 25 : 1000);
  int failures = 0;
  for (std::uint64_t seed = first; seed < first + count && failures < 10; ++seed)
    failures += simulate(seed, false, steps) ? 0 : 1;
  RecordProperty("steps", std::to_string(steps));
}

TEST(PruneSimulation, OneSeedIsOneOrder) {
  const NoWords no_words;
  const auto once = PruneSimulation(7, true).run();
  EXPECT_GT(once.steps, 100U);
  EXPECT_EQ(PruneSimulation(7, true).run().trace, once.trace);
}

}  // namespace
}  // namespace pgstrata::testing
