// Runs several pieces of work as if at once, one store call at a time, in an order that follows from a seed. For tests only.
//
// Each actor has a thread and a way of its own to the stores. Every call waits for the actor's turn; whoever has the turn has
// the effect of his call, goes on to his next one and there says who comes then. So one actor runs at any moment, and one
// seed gives one order, at the grain of single calls. A listing comes in pages, each a turn: it is no picture of a moment.
//
// Fault model, beside that of storage/fault: at its turn an actor may die, before or after its call's effect; its call may
// fail, or have its effect and fail; time may pass; and a lease may end although its holder goes on. A lease does not end
// between its holder's look at it and the call he makes upon that: "What time is trusted with" in
// docs/decisions/0019-what-may-be-removed.md.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "repo/test_store.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {

class SimulationRandom {
 public:
  explicit SimulationRandom(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  template <class T>
  const T& one_of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }
  void fill(void* into, std::size_t size_bytes) {
    for (std::size_t at = 0; at < size_bytes; ++at)
      static_cast<unsigned char*>(into)[at] = static_cast<unsigned char>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

class Scheduler;

// One thread's work. Fields change only while it has the turn.
struct Actor {
  std::string name;
  std::function<void(Actor&)> work;
  Scheduler* scheduler = nullptr;
  std::binary_semaphore turn{0};
  std::uint64_t weight = 1;          // how often it is chosen, beside the others
  bool dead = false;                 // every call of this piece of work fails from now on
  bool faulted = false;              // a call of this piece of work was made to fail
  bool has_asked_its_lease = false;  // and not made the call yet that this was for
};

class Scheduler {
 public:
  explicit Scheduler(std::uint64_t seed) : random(seed) {
    page_objects_ = random.one_of<std::size_t>({1, 3, 1000});
    event_every_ = random.one_of<std::uint64_t>({20, 60, 300});
    faults_left_ = random.below(4);
    turns_ = random.one_of<Turns>({Turns::anywhere, Turns::soft, Turns::sharp});
  }

  // Returns when all have ended.
  void run(std::vector<std::unique_ptr<Actor>>& actors) {
    std::vector<std::jthread> threads;
    for (const auto& actor : actors) {
      actor->scheduler = this;
      actor->weight = draw_weight();
      running_.push_back(actor.get());
    }
    for (const auto& actor : actors) {
      threads.emplace_back([this, held = actor.get()] {
        held->turn.acquire();
        held->work(*held);
        std::erase(running_, held);
        pass_on();
      });
    }
    pass_on();
    all_ended_.acquire();
  }

  // Called by the actor before each call; `faults` is what the call goes to.
  void wait_for_turn(Actor& actor, FaultStore& faults, std::string_view what, std::string_view name) {
    if (turns_ != Turns::anywhere && tells_others(name) && random.one_in(2))
      actor.weight = turns_ == Turns::sharp ? random.one_of<std::uint64_t>({1, heaviest}) : draw_weight();
    Actor& next = choose();
    if (&next != &actor) {
      next.turn.release();
      actor.turn.acquire();
    }
    ++steps_;
    note(actor.name, fmt::format("{} {}", what, name));
    if (stopped_) die(actor, faults);
    maybe_fail(actor, faults);
  }
  // In a listing. How many objects each page has.
  [[nodiscard]] std::size_t page_objects() const { return page_objects_; }

  // Nothing fails and nothing happens.
  void be_calm() {
    calm_ = true;
    faults_left_ = 0;
  }
  // Everybody's calls fail from now on.
  void stop() { stopped_ = true; }

  void note(std::string_view who, std::string_view what) {
    if (keep_trace) trace += fmt::format("{:6} {:10} {}\n", steps_, who, what);
  }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  SimulationRandom random;
  std::function<void()> let_something_happen;  // at times, between two calls
  bool keep_trace = false;
  std::string trace;

 private:
  // By these they tell each other what they are about to do: around them the order matters most.
  static bool tells_others(std::string_view name) {
    return name.find("/condemned/") != name.npos || name.find("/holds/") != name.npos ||
           name.find("/snapshots/") != name.npos;
  }

  std::uint64_t draw_weight() { return heaviest >> random.below(9); }

  Actor& choose() {
    if (random.one_in(event_every_) && !stopped_ && !calm_) let_something_happen();
    if (random.one_in(40)) running_[random.below(running_.size())]->weight = draw_weight();
    std::uint64_t total = 0;
    for (const Actor* actor : running_) total += actor->weight;
    std::uint64_t at = random.below(total);
    for (Actor* actor : running_) {
      if (at < actor->weight) return *actor;
      at -= actor->weight;
    }
    return *running_.back();
  }

  void pass_on() {
    if (running_.empty()) {
      all_ended_.release();
    } else {
      choose().turn.release();
    }
  }

  static void die(Actor& actor, FaultStore& faults) {
    actor.dead = actor.faulted = true;
    faults.crash();
  }

  void maybe_fail(Actor& actor, FaultStore& faults) {
    if (faults_left_ == 0 || !random.one_in(fault_every)) return;
    --faults_left_;
    const auto kind = random.one_of<Fault::Kind>(
        {Fault::Kind::crash, Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer});
    faults.set_fault({.kind = kind, .at_step = faults.steps() + 1});
    actor.faulted = true;
    actor.dead = kind == Fault::Kind::crash;
    note(actor.name, kind == Fault::Kind::crash   ? "dies at this call"
                     : kind == Fault::Kind::error ? "gets an error"
                                                  : "loses the answer");
  }

  // Whether it changes how often an actor is chosen where it tells others something, and how much.
  enum class Turns { anywhere, soft, sharp };

  static constexpr std::uint64_t fault_every = 80;
  static constexpr std::uint64_t heaviest = 256;  // the lightest has 1

  // All below change only in the thread that has the turn.
  std::vector<Actor*> running_;
  std::binary_semaphore all_ended_{0};
  std::size_t page_objects_ = 1000;
  std::uint64_t event_every_ = 100;
  std::uint64_t faults_left_ = 0;
  std::uint64_t steps_ = 0;
  Turns turns_ = Turns::anywhere;
  bool stopped_ = false;
  bool calm_ = false;
};

// An actor's way to a store for one piece of work, through the turns and faults of the scheduler.
class SteppedStore final : public BorrowedStore {
 public:
  SteppedStore(ObjectStore& beneath, Actor& actor)
      : SteppedStore(std::make_unique<FaultStore>(beneath, actor.scheduler->random.below(UINT32_MAX)),
                     actor) {}

  Result<void> put(std::string_view name, ByteView content) override {
    return step("put", name, [&] { return faults_->put(name, content); });
  }
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override {
    PGS_TRY(auto writer, faults_->create(name));
    return std::make_unique<Writer>(*this, name, std::move(writer));
  }
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override {
    return step("create_journal", name, [&] { return faults_->create_journal(name); });
  }
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes) override {
    return step("get", name, [&] { return faults_->get(name, limit_bytes); });
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    return step("read", name, [&] { return faults_->read_some(name, offset, into); });
  }
  Result<ObjectInfo> stat(std::string_view name) override {
    return step("stat", name, [&] { return faults_->stat(name); });
  }
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    std::vector<ObjectInfo> all;
    while (all.size() < limit) {
      const std::size_t wanted = std::min(limit - all.size(), actor_.scheduler->page_objects());
      const std::string from = all.empty() ? std::string(after) : all.back().name;
      PGS_TRY(auto page, step("list", prefix, [&] { return faults_->list(prefix, from, wanted); }));
      const bool last = page.size() < wanted;
      std::ranges::move(page, std::back_inserter(all));
      if (last) break;
    }
    return all;
  }
  Result<void> remove(std::string_view name) override {
    return step("remove", name, [&] { return faults_->remove(name); });
  }
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    return step("replace", name, [&] { return faults_->replace(name, expected, content); });
  }
  Result<VersionedObject> get_versioned(std::string_view name) override {
    return step("get_versioned", name, [&] { return faults_->get_versioned(name); });
  }

 private:
  // What is written is seen when it is committed, and only that waits.
  class Writer final : public ObjectWriter {
   public:
    Writer(SteppedStore& store, std::string_view name, std::unique_ptr<ObjectWriter> beneath)
        : store_(store), name_(name), beneath_(std::move(beneath)) {}
    Result<void> write(ByteView bytes) override { return beneath_->write(bytes); }
    Result<void> commit() override {
      return store_.step("commit", name_, [&] { return beneath_->commit(); });
    }

   private:
    SteppedStore& store_;
    const std::string name_;
    const std::unique_ptr<ObjectWriter> beneath_;
  };

  SteppedStore(std::unique_ptr<FaultStore> faults, Actor& actor)
      : BorrowedStore(*faults), faults_(std::move(faults)), actor_(actor) {}

  template <class Call>
  auto step(std::string_view what, std::string_view name, Call call) -> decltype(call()) {
    if (actor_.dead) {
      faults_->crash();
    } else {
      actor_.scheduler->wait_for_turn(actor_, *faults_, what, name);
    }
    auto done = call();
    actor_.has_asked_its_lease = false;
    return done;
  }

  const std::unique_ptr<FaultStore> faults_;
  Actor& actor_;
};

}  // namespace pgstrata::testing
