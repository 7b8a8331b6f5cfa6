// Work that stops, or meets an error, or is interrupted by other work, at each of its steps. Only tests include this
// header.
#pragma once

#include "base/sanitized.h"
#include "repo/test_store.h"
#include "storage/fault/fault_store.h"

namespace pgstrata {

inline constexpr std::uint64_t crash_seeds = 20;
// For work that writes whole objects alone: each step has its effect or not, and most seeds say the same.
inline constexpr std::uint64_t few_crash_seeds = sanitized ? 1 : 2;

// Runs `work` once for each of its steps, each kind of fault and each seed; then asks `check` about what is
// left. What `check` gets is the store after the fault, and whether the work was told that it was done. `prepare` fills
// the store before.
inline void at_each_step(const std::function<bool(ObjectStore&)>& work,
                         const std::function<void(ObjectStore&, bool done)>& check,
                         const std::function<void(ObjectStore&)>& prepare = {},
                         std::uint64_t seeds = crash_seeds) {
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer}) {
    // Only a crash leaves anything to chance.
    const std::uint64_t last_seed = kind == Fault::Kind::crash ? seeds : 1;
    for (std::uint64_t seed = 1; seed <= last_seed; ++seed) {
      bool reached = true;
      for (std::uint64_t step = 1; reached; ++step) {
        MemoryStore beneath;
        if (prepare) prepare(beneath);
        FaultStore faulty(beneath, seed);
        faulty.set_fault({.kind = kind, .at_step = step});
        const bool done = work(faulty);
        reached = faulty.steps() >= step;
        SCOPED_TRACE(faulty.last_fault());
        if (kind == Fault::Kind::crash) faulty.crash();
        check(beneath, done);
        ASSERT_LT(step, 1'000U);
      }
    }
  }
}

// Calls back before one of the calls that reach the store.
class InterruptedStore : public BorrowedStore {
 public:
  InterruptedStore(ObjectStore& store, std::uint64_t at_step, std::function<void()> between)
      : BorrowedStore(store), at_step_(at_step), between_(std::move(between)) {}

  [[nodiscard]] bool reached() const { return steps_ >= at_step_; }

  Result<void> put(std::string_view name, ByteView content) override {
    return step(), BorrowedStore::put(name, content);
  }
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override {
    return step(), BorrowedStore::get(name, limit_bytes);
  }
  Result<ObjectInfo> stat(std::string_view name) override { return step(), BorrowedStore::stat(name); }
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    return step(), BorrowedStore::list(prefix, after, limit);
  }
  Result<void> remove(std::string_view name) override { return step(), BorrowedStore::remove(name); }
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    return step(), BorrowedStore::replace(name, expected, content);
  }
  Result<VersionedObject> get_versioned(std::string_view name) override {
    return step(), BorrowedStore::get_versioned(name);
  }

 private:
  void step() {
    if (++steps_ == at_step_) between_();
  }

  const std::uint64_t at_step_;
  const std::function<void()> between_;
  std::uint64_t steps_ = 0;
};

// Does `other` as a whole before each step of `work`; then asks `check`.
inline void between_all_steps(const std::function<void(ObjectStore&)>& prepare,
                              const std::function<void(ObjectStore&)>& work,
                              const std::function<void(ObjectStore&)>& other,
                              const std::function<void(ObjectStore&)>& check) {
  bool reached = true;
  for (std::uint64_t step = 1; reached; ++step) {
    MemoryStore beneath;
    prepare(beneath);
    InterruptedStore interrupted(beneath, step, [&] { other(beneath); });
    SCOPED_TRACE(fmt::format("before step {}", step));
    work(interrupted);
    reached = interrupted.reached();
    check(beneath);
    ASSERT_LT(step, 1'000U);
  }
}

}  // namespace pgstrata
