// An object store in memory, for tests. Keeps every guarantee of the contract but that of outliving the
// process.
#pragma once

#include <map>
#include <mutex>

#include "storage/object_store.h"

namespace pgstrata {

class MemoryStore : public ObjectStore {
 public:
  // The clock is borrowed and gives objects their time.
  explicit MemoryStore(const Clock& clock = system_clock()) : clock_(clock) {}

  [[nodiscard]] StoreCapabilities capabilities() const override {
    return {.journals = true, .conditional_writes = true, .far = false};
  }
  [[nodiscard]] std::string describe() const override { return "memory"; }

  Result<void> put(std::string_view name, ByteView content) override;
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override;
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override;
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override;
  bool forget_copies(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  Result<ObjectInfo> stat(std::string_view name) override;
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override;
  Result<void> make_names_durable(std::string_view) override { return {}; }
  Result<void> remove(std::string_view name) override;
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override;
  Result<VersionedObject> get_versioned(std::string_view name) override;

 private:
  class Writer;
  class Journal;

  struct Object {
    Bytes content;
    Timestamp modified;
    std::uint64_t version = 0;
  };
  using Objects = std::map<std::string, Object, std::less<>>;

  // Both with the mutex held. The name must be fit.
  Result<Objects::iterator> find(std::string_view name);
  Result<void> insert(std::string_view name, Bytes content);

  const Clock& clock_;
  std::mutex mutex_;
  Objects objects_;                 // guarded by mutex_
  std::uint64_t last_version_ = 0;  // guarded by mutex_
};

}  // namespace pgstrata
