// A store that fails on demand, to try code against everything the contract allows a store to do to it.
//
// Fault model
//  * Every call that reaches the store is a step, counted from 1: put, create, a writer's write and commit,
//    create_journal, a journal's append and sync, get, read, stat, list, make_names_durable, remove, replace,
//    get_versioned.
//  * error: the step fails and has had no effect.
//  * lost_answer: the step has its effect, and fails all the same.
//  * crash: the step may or may not have its effect, whole; it and every later step fail. Objects not
//    committed are gone. Of each journal, everything up to the last finished sync stays; of what was appended
//    after that, chosen anew for each journal, nothing stays, or a first part, or all, or some sectors of 512
//    bytes with zeros in the place of the others.
//  * Bytes appended to a journal and not yet synced are seen by no reader.
//  * Not modelled: stored bytes that change, effects that become visible late, and names that a crash takes
//    away again because nobody had made them durable.
// All choices follow from the seed and the order of the steps: one thread, one seed, one outcome. What
// survives a crash is in the store beneath: put a new FaultStore, or none, over that to reopen it.
//
// Thread-safe; steps of different threads happen one at a time.
#pragma once

#include <memory>
#include <string>

#include "storage/object_store.h"

namespace pgstrata {

class FaultMachine;

struct Fault {
  enum class Kind { error, lost_answer, crash };

  Kind kind = Kind::error;
  std::uint64_t at_step = 1;
  std::uint64_t step_count = 1;  // how many steps in a row fail; a crash has no end
  ErrorCode code = ErrorCode::unavailable;
};

class FaultStore : public ObjectStore {
 public:
  // The store beneath is borrowed.
  FaultStore(ObjectStore& beneath, std::uint64_t seed);
  ~FaultStore() override;

  // In the place of the fault that was set before.
  void set_fault(const Fault& fault);
  void clear_fault();
  // As a crash between two steps.
  void crash();

  [[nodiscard]] std::uint64_t steps() const;
  [[nodiscard]] bool crashed() const;
  // "step 17: sync wal/j (seed 4)": the last step that was made to fail; empty when there was none. For
  // messages.
  [[nodiscard]] std::string last_fault() const;

  [[nodiscard]] StoreCapabilities capabilities() const override;
  [[nodiscard]] std::string describe() const override;

  Result<void> put(std::string_view name, ByteView content) override;
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override;
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override;
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override;
  bool forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) override;
  Result<ObjectInfo> stat(std::string_view name) override;
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override;
  Result<void> make_names_durable(std::string_view prefix) override;
  Result<void> remove(std::string_view name) override;
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override;
  Result<VersionedObject> get_versioned(std::string_view name) override;

 private:
  std::shared_ptr<FaultMachine> machine_;  // shared with the writers and journals it made
};

}  // namespace pgstrata
