#include "repo/lease.h"

#include <latch>
#include <thread>

#include "repo/lease_content.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A clock whose steady time passes by itself, a tenth of a second at each look.
class RunningClock : public HeldClock {
 public:
  [[nodiscard]] SteadyTime steady() const override {
    looks_ += 1;
    return HeldClock::steady() + looks_.load() * milliseconds(100);
  }

 private:
  mutable std::atomic<int> looks_{0};
};

// A store that calls back before each replace and each look.
class WatchedStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    if (before_replace) before_replace();
    if (failing) return fail(ErrorCode::unavailable, "no answer");
    auto done = BorrowedStore::replace(name, expected, content);
    ++replaced;
    replaced.notify_all();
    if (losing_answers) return fail(ErrorCode::unavailable, "answer lost");
    return done;
  }
  Result<VersionedObject> get_versioned(std::string_view name) override {
    if (before_look) before_look();
    if (failing) return fail(ErrorCode::unavailable, "no answer");
    return BorrowedStore::get_versioned(name);
  }
  std::function<void()> before_replace;
  std::function<void()> before_look;
  std::atomic<bool> failing = false;
  std::atomic<bool> losing_answers = false;
  std::atomic<int> replaced = 0;
};

class LeaseTest : public testing::Test {
 protected:
  // Long enough that no renewal comes in between by itself.
  static constexpr LeaseOptions patient{.time_to_live = std::chrono::hours(1)};

  Result<Lease> acquire(const Clock& clock, LeaseOptions options = patient) {
    return Lease::acquire(space_, name_, "stream", clock, options);
  }
  LeaseContent content() { return *open_lease(space_, name_, store_.get_versioned(object_)->content); }
  // As some other process would write it.
  void write(const LeaseContent& content) {
    const auto there = store_.get_versioned(object_);
    const auto version = there.has_value() ? std::optional(there->version) : std::nullopt;
    ASSERT_TRUE(store_.replace(object_, version, seal_lease(space_, name_, content)).has_value());
  }
  static LeaseContent of_other_machine() {
    LeaseContent content{
        .token = "other",
        .holder = {.process = *ProcessIdentity::self(), .purpose = "backup", .since = {1'000'000}},
        .time_to_live = milliseconds(30)};
    content.holder.process.host_name = "db1";
    content.holder.process.boot_id = "another-boot";
    return content;
  }
  static LeaseContent of_dead_process() {
    LeaseContent content = of_other_machine();
    content.holder.process = *ProcessIdentity::self();
    content.holder.process.start_ticks -= 1;
    return content;
  }

  MemoryStore memory_;
  WatchedStore store_{memory_};
  HeldClock clock_;
  ClusterSpace space_{store_, "app", fixed_key(1)};
  const std::string name_ = "stream";
  const std::string object_ = space_.object_name(lease_object_name(name_));
};

TEST_F(LeaseTest, IsHeldUntilItIsGivenBack) {
  EXPECT_FALSE(lease_holder(space_, name_)->has_value());
  {
    const auto lease = acquire(clock_);
    ASSERT_EQ(message_of(lease), "ok");
    EXPECT_EQ(code_of(lease->check()), "ok");
    const auto holder = *lease_holder(space_, name_);
    ASSERT_TRUE(holder.has_value());
    EXPECT_EQ(holder->process, *ProcessIdentity::self());
    EXPECT_EQ(holder->purpose, "stream");
    EXPECT_EQ(holder->since, clock_.now());
  }
  EXPECT_FALSE(lease_holder(space_, name_)->has_value());
  EXPECT_EQ(code_of(acquire(clock_)), "ok");
}

TEST_F(LeaseTest, RefusesASecondHolderAtOnceAndNamesTheFirst) {
  const auto lease = acquire(clock_);
  const auto second = acquire(clock_);
  ASSERT_EQ(code_of(second), "busy");
  EXPECT_THAT(message_of(second),
              HasSubstr(fmt::format("stream of app is held by process {} on host", ::getpid())));
  EXPECT_EQ(code_of(lease->check()), "ok");
}

TEST_F(LeaseTest, MovesWithItsHolding) {
  auto first = acquire(clock_);
  Lease moved = *std::move(first);
  EXPECT_EQ(code_of(moved.check()), "ok");
  EXPECT_EQ(code_of(acquire(clock_)), "busy");
}

TEST_F(LeaseTest, OfADeadProcessIsFreeAtOnce) {
  write(of_dead_process());
  EXPECT_FALSE(lease_holder(space_, name_)->has_value());
  EXPECT_EQ(code_of(acquire(clock_)), "ok");
}

TEST_F(LeaseTest, OfASilentMachineIsTakenAfterItsTime) {
  write(of_other_machine());
  EXPECT_TRUE(lease_holder(space_, name_)->has_value());
  const RunningClock clock;
  const auto lease = acquire(clock, {.time_to_live = milliseconds(30)});
  ASSERT_EQ(message_of(lease), "ok");
  EXPECT_EQ(content().holder.process, *ProcessIdentity::self());
}

TEST_F(LeaseTest, OfALivelyMachineStays) {
  write(of_other_machine());
  int looks = 0;
  store_.before_look = [&] {
    if (++looks == 2) {
      store_.before_look = {};
      write(of_other_machine());
    }
  };
  // The clock stands still: only the change ends the wait.
  const auto lease = acquire(clock_, {.time_to_live = milliseconds(20)});
  EXPECT_EQ(code_of(lease), "busy");
  EXPECT_THAT(message_of(lease), HasSubstr("backup of app is held"));
  EXPECT_THAT(message_of(lease), HasSubstr("db1"));
}

TEST_F(LeaseTest, GivenBackWhileWaitedForIsTaken) {
  write(of_other_machine());
  int looks = 0;
  store_.before_look = [&] {
    if (++looks == 2) {
      store_.before_look = {};
      LeaseContent released = of_other_machine();
      released.released = true;
      write(released);
    }
  };
  EXPECT_EQ(message_of(acquire(clock_, {.time_to_live = milliseconds(20)})), "ok");
}

TEST_F(LeaseTest, WaitEndsWhenItIsCancelled) {
  write(of_other_machine());
  Cancellation cancellation;
  cancellation.request();
  EXPECT_EQ(code_of(acquire(clock_, {.time_to_live = std::chrono::hours(1), .cancellation = &cancellation})),
            "cancelled");
}

TEST_F(LeaseTest, OfTwoTakersOneGetsIt) {
  write(of_dead_process());
  bool intruded = false;
  store_.before_replace = [&] {
    if (std::exchange(intruded, true)) return;
    // Between this taker's look and its write another one takes it.
    LeaseContent other = of_other_machine();
    other.holder.process = *ProcessIdentity::of(::getppid());
    write(other);
  };
  EXPECT_EQ(code_of(acquire(clock_)), "busy");
  EXPECT_EQ(content().token, "other");
}

TEST_F(LeaseTest, ManyThreadsNeverHoldItTogether) {
  constexpr int threads = 8;
  std::latch start(threads);
  std::atomic<int> holding{0};
  std::atomic<int> taken{0};
  {
    std::vector<std::jthread> takers;
    for (int i = 0; i < threads; ++i) {
      takers.emplace_back([&] {
        start.arrive_and_wait();
        for (int round = 0; round < 20; ++round) {
          const auto lease = acquire(clock_);
          if (!lease.has_value()) continue;
          EXPECT_EQ(++holding, 1);
          ++taken;
          --holding;
        }
      });
    }
  }
  EXPECT_GT(taken, 0);
  EXPECT_FALSE(lease_holder(space_, name_)->has_value());
}

TEST_F(LeaseTest, IsRenewedByItself) {
  const auto lease = acquire(clock_, {.time_to_live = milliseconds(3)});
  ASSERT_EQ(message_of(lease), "ok");
  for (int seen = store_.replaced; seen < 5; seen = store_.replaced) store_.replaced.wait(seen);
  EXPECT_EQ(code_of(lease->check()), "ok");
}

TEST_F(LeaseTest, OfAHolderThatSleptIsRenewedBeforeItCounts) {
  const auto lease = acquire(clock_);
  const int before = store_.replaced;
  clock_.pass(std::chrono::hours(2));
  EXPECT_EQ(code_of(lease->check()), "ok");
  EXPECT_EQ(store_.replaced, before + 1);
  clock_.pass(std::chrono::hours(2));
  store_.failing = true;
  EXPECT_EQ(code_of(lease->check()), "unavailable");
  store_.failing = false;
  EXPECT_EQ(code_of(lease->check()), "ok");
}

// A taker may take it when the time to live is over: who has asked needs time for what he asked for.
TEST_F(LeaseTest, IsNotClaimedUpToTheMomentItMayBeTaken) {
  const auto lease = acquire(clock_, {.time_to_live = std::chrono::seconds(30)});
  store_.failing = true;
  clock_.pass(std::chrono::milliseconds(19'999));
  EXPECT_EQ(code_of(lease->check()), "ok");
  clock_.pass(std::chrono::milliseconds(1));
  EXPECT_EQ(code_of(lease->check()), "unavailable");
  store_.failing = false;
  EXPECT_EQ(code_of(lease->check()), "ok");
}

TEST_F(LeaseTest, ThatWasTakenOverIsLostAndNotGivenBack) {
  {
    const auto lease = acquire(clock_);
    write(of_other_machine());
    clock_.pass(std::chrono::hours(2));
    const auto checked = lease->check();
    EXPECT_EQ(code_of(checked), "busy");
    EXPECT_THAT(message_of(checked), HasSubstr("taken over"));
    EXPECT_EQ(code_of(lease->check()), "busy");
  }
  EXPECT_EQ(content().token, "other");
  EXPECT_FALSE(content().released);
}

// As when the repository's disk was away: whoever took it meanwhile has it, and nobody else.
TEST_F(LeaseTest, ThatCouldNotBeRenewedForLongIsHeldUnlessSomebodyTookIt) {
  const auto lease = acquire(clock_);
  for (int round = 0; round < 2; ++round) {
    store_.failing = true;
    clock_.pass(std::chrono::hours(2));
    const auto away = lease->check();
    EXPECT_EQ(code_of(away), "unavailable");
    EXPECT_THAT(message_of(away), HasSubstr("no answer"));
    store_.failing = false;
    if (round == 1) write(of_other_machine());
    EXPECT_EQ(code_of(lease->check()), round == 0 ? "ok" : "busy");
  }
}

TEST_F(LeaseTest, ThatSomebodyRemovedIsMadeAgain) {
  const auto lease = acquire(clock_);
  ASSERT_TRUE(memory_.remove(object_).has_value());
  clock_.pass(std::chrono::hours(2));
  ASSERT_EQ(code_of(lease->check()), "ok");
  EXPECT_EQ(content().holder.process, *ProcessIdentity::self());
}

TEST_F(LeaseTest, SurvivesALostAnswer) {
  const auto lease = acquire(clock_);
  store_.losing_answers = true;
  clock_.pass(std::chrono::hours(2));
  EXPECT_EQ(code_of(lease->check()), "unavailable");
  store_.losing_answers = false;
  EXPECT_EQ(code_of(lease->check()), "ok");
}

TEST_F(LeaseTest, ALostAnswerToTakingItDoesNotLockThisProcessOut) {
  store_.losing_answers = true;
  EXPECT_EQ(code_of(acquire(clock_)), "unavailable");
  store_.losing_answers = false;
  EXPECT_EQ(content().holder.process, *ProcessIdentity::self());
  EXPECT_FALSE(lease_holder(space_, name_)->has_value());
  EXPECT_EQ(code_of(acquire(clock_)), "ok");
}

TEST_F(LeaseTest, DamageIsToldAndSaysWhatToDo) {
  { const auto lease = acquire(clock_); }
  for_each_damage(memory_, object_, [&](const std::string& what) {
    const auto lease = acquire(clock_);
    EXPECT_EQ(code_of(lease), "damaged") << what;
    EXPECT_EQ(code_of(lease_holder(space_, name_)), "damaged") << what;
    EXPECT_TRUE(!lease.has_value() && lease.error().hint().contains("remove this object")) << what;
  });
  EXPECT_EQ(code_of(acquire(clock_)), "ok");
}

TEST_F(LeaseTest, BelongsToItsName) {
  const auto lease = acquire(clock_);
  ASSERT_TRUE(
      memory_.put(space_.object_name("leases/other"), memory_.get_versioned(object_)->content).has_value());
  EXPECT_EQ(code_of(lease_holder(space_, "other")), "damaged");
}

TEST(LeaseContentTest, RefusesStrangeFields) {
  const std::string good =
      R"({"token":"t","process":"1.2.3.boot.host","purpose":"p","since":"2026-11-21T10:00:00Z","time_to_live_ms":5})";
  EXPECT_EQ(code_of(parse_lease_content(as_byte_view(good))), "ok");
  for (const char* field : {"token", "process", "purpose", "since", "time_to_live_ms"}) {
    std::string without = good;
    without.replace(without.find(field), 1, "x");
    EXPECT_EQ(code_of(parse_lease_content(as_byte_view(without))), "damaged") << field;
  }
  EXPECT_EQ(code_of(parse_lease_content(as_byte_view("[]"))), "damaged");
  EXPECT_EQ(code_of(parse_lease_content({})), "damaged");
}

}  // namespace
}  // namespace pgstrata
