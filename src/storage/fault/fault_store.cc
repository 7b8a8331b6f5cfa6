#include "storage/fault/fault_store.h"

#include <utility>

#include "storage/fault/fault_machine.h"

namespace pgstrata {
namespace {

// Keeps the first failure and answers with it from then on, as the contract says of writers and journals.
class FirstFailure {
 public:
  template <class Call>
  Result<void> unless_failed(Call call) {
    if (failure_) return std::unexpected(*failure_);
    Result<void> done = call();
    if (!done) failure_ = done.error();
    return done;
  }

 private:
  std::optional<Error> failure_;
};

class FaultWriter : public ObjectWriter {
 public:
  FaultWriter(std::shared_ptr<FaultMachine> machine, std::string_view name,
              std::unique_ptr<ObjectWriter> beneath)
      : machine_(std::move(machine)), name_(name), beneath_(std::move(beneath)) {}

  Result<void> write(ByteView bytes) override {
    return first_.unless_failed(
        [&] { return machine_->step("write", name_, [&] { return beneath_->write(bytes); }); });
  }
  Result<void> commit() override {
    return first_.unless_failed(
        [&] { return machine_->step("commit", name_, [&] { return beneath_->commit(); }); });
  }

 private:
  const std::shared_ptr<FaultMachine> machine_;
  const std::string name_;
  const std::unique_ptr<ObjectWriter> beneath_;
  FirstFailure first_;
};

class FaultJournal : public ObjectJournal {
 public:
  FaultJournal(std::shared_ptr<FaultMachine> machine, std::string_view name,
               std::shared_ptr<JournalTail> tail)
      : machine_(std::move(machine)), name_(name), tail_(std::move(tail)) {}

  Result<void> append(ByteView bytes) override {
    return first_.unless_failed([&] {
      return machine_->step("append", name_, [&]() -> Result<void> {
        pgstrata::append(tail_->unsynced, bytes);
        return {};
      });
    });
  }
  Result<void> sync() override {
    return first_.unless_failed([&] {
      return machine_->step("sync", name_, [&]() -> Result<void> {
        PGS_CHECK(tail_->beneath->append(tail_->unsynced));
        PGS_CHECK(tail_->beneath->sync());
        tail_->synced_bytes += tail_->unsynced.size();
        tail_->unsynced.clear();
        return {};
      });
    });
  }

 private:
  const std::shared_ptr<FaultMachine> machine_;
  const std::string name_;
  const std::shared_ptr<JournalTail> tail_;  // shared with the machine, which tears it at a crash
  FirstFailure first_;
};

}  // namespace

FaultStore::FaultStore(ObjectStore& beneath, std::uint64_t seed)
    : machine_(std::make_shared<FaultMachine>(beneath, seed)) {}
FaultStore::~FaultStore() = default;

void FaultStore::set_fault(const Fault& fault) {
  machine_->set_fault(fault);
}
void FaultStore::clear_fault() {
  machine_->set_fault(std::nullopt);
}
void FaultStore::crash() {
  machine_->crash();
}
std::uint64_t FaultStore::steps() const {
  return machine_->steps();
}
bool FaultStore::crashed() const {
  return machine_->crashed();
}
std::string FaultStore::last_fault() const {
  return machine_->last_fault();
}

StoreCapabilities FaultStore::capabilities() const {
  return machine_->beneath.capabilities();
}
std::string FaultStore::describe() const {
  return machine_->beneath.describe();
}

Result<void> FaultStore::put(std::string_view name, ByteView content) {
  return machine_->step("put", name, [&] { return machine_->beneath.put(name, content); });
}

Result<std::unique_ptr<ObjectWriter>> FaultStore::create(std::string_view name) {
  return machine_->step("create", name, [&]() -> Result<std::unique_ptr<ObjectWriter>> {
    PGS_TRY(auto beneath, machine_->beneath.create(name));
    return std::make_unique<FaultWriter>(machine_, name, std::move(beneath));
  });
}

Result<std::unique_ptr<ObjectJournal>> FaultStore::create_journal(std::string_view name) {
  return machine_->step("create_journal", name, [&]() -> Result<std::unique_ptr<ObjectJournal>> {
    PGS_TRY(auto beneath, machine_->beneath.create_journal(name));
    return std::make_unique<FaultJournal>(machine_, name, machine_->add_journal(std::move(beneath)));
  });
}

Result<Bytes> FaultStore::get(std::string_view name, std::uint64_t limit_bytes) {
  return machine_->step("get", name, [&] { return machine_->beneath.get(name, limit_bytes); });
}

Result<std::size_t> FaultStore::read_some(std::string_view name, std::uint64_t offset, MutableByteView into) {
  return machine_->step("read", name, [&] { return machine_->beneath.read_some(name, offset, into); });
}

bool FaultStore::forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) {
  return machine_->beneath.forget_copies(name, offset, size_bytes);
}

Result<ObjectInfo> FaultStore::stat(std::string_view name) {
  return machine_->step("stat", name, [&] { return machine_->beneath.stat(name); });
}

Result<std::vector<ObjectInfo>> FaultStore::list(std::string_view prefix, std::string_view after,
                                                 std::size_t limit) {
  return machine_->step("list", prefix, [&] { return machine_->beneath.list(prefix, after, limit); });
}

Result<void> FaultStore::make_names_durable(std::string_view prefix) {
  return machine_->step("make_names_durable", prefix,
                        [&] { return machine_->beneath.make_names_durable(prefix); });
}

Result<void> FaultStore::remove(std::string_view name) {
  return machine_->step("remove", name, [&] { return machine_->beneath.remove(name); });
}

Result<std::string> FaultStore::replace(std::string_view name, const std::optional<std::string>& expected,
                                        ByteView content) {
  return machine_->step("replace", name, [&] { return machine_->beneath.replace(name, expected, content); });
}

Result<VersionedObject> FaultStore::get_versioned(std::string_view name) {
  return machine_->step("get_versioned", name, [&] { return machine_->beneath.get_versioned(name); });
}

}  // namespace pgstrata
