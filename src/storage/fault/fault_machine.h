// What a FaultStore, its writers and its journals share: the count of steps, the fault to come, and the tails
// of journals that a crash may take. Private to this folder.
#pragma once

#include <mutex>
#include <optional>
#include <random>

#include "storage/fault/fault_store.h"

namespace pgstrata {

// A journal as the store beneath has it, and what was appended but not synced.
struct JournalTail {
  std::unique_ptr<ObjectJournal> beneath;
  std::uint64_t synced_bytes = 0;
  Bytes unsynced;
};

class FaultMachine {
 public:
  FaultMachine(ObjectStore& store_beneath, std::uint64_t seed)
      : beneath(store_beneath), seed_(seed), random_(seed) {}

  // Runs one step, or what the fault makes of it. `effect` returns a Result and runs with the mutex held.
  template <class Effect>
  auto step(std::string_view what, std::string_view name, Effect effect) -> decltype(effect()) {
    const std::lock_guard lock(mutex_);
    const std::optional<Fault::Kind> kind = begin_step(what, name);
    if (!kind) return effect();
    if (*kind == Fault::Kind::lost_answer || (*kind == Fault::Kind::crash && !crashed_ && coin())) {
      (void)effect();
    }
    if (*kind == Fault::Kind::crash) crash_locked();
    return std::unexpected(failure_);
  }

  // Called from within a step's effect.
  std::shared_ptr<JournalTail> add_journal(std::unique_ptr<ObjectJournal> journal);

  void set_fault(std::optional<Fault> fault);
  void crash();
  [[nodiscard]] std::uint64_t steps() const;
  [[nodiscard]] bool crashed() const;
  [[nodiscard]] std::string last_fault() const;

  ObjectStore& beneath;

 private:
  // All with the mutex held.
  std::optional<Fault::Kind> begin_step(std::string_view what, std::string_view name);
  void crash_locked();
  void tear(JournalTail& tail);
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool coin() { return below(2) == 0; }

  const std::uint64_t seed_;
  mutable std::mutex mutex_;
  std::mt19937_64 random_;  // all below guarded by mutex_
  std::optional<Fault> fault_;
  std::uint64_t steps_ = 0;
  bool crashed_ = false;
  Error failure_{ErrorCode::failed, "no fault"};  // of the step that is failing
  std::string last_fault_;
  std::vector<std::shared_ptr<JournalTail>> tails_;  // also of journals that were dropped unsynced
};

}  // namespace pgstrata
