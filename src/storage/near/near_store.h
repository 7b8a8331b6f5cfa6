// A store that keeps what is read of another one in a folder of this machine: for a store that is far away
// (StoreCapabilities::far).
//
// What read_some and read ask for is kept in blocks of 512 KiB of an object, bounded, the ones last used, and
// shared by all processes that name the same folder; the next time it is read there. It is kept as the store
// has it, compressed and encrypted, so it has to be authenticated each time, as what a store says has to be
// anyway; whoever finds it wrong says so with forget_copies. Everything else goes to the store itself.
//
// Only objects that are written once may be kept: what is read of one may be of before its last change, or
// its removal. One whose name may come again is known by the size and time that stat last said, too, so that
// two of one name are two; before stat was asked, nothing of it is kept.
//
// What goes wrong with the folder is never the reader's error: the store answers. It is made where it is
// missing, also when somebody removes it meanwhile, with mode 0700. The first thing that goes wrong is told
// in the log. For a minute after a block could not be kept, what is not there is read from the store as it is
// asked for, no whole blocks. Errors are not kept. Within a process, a block is read from the store once at a
// time: whoever else wants it waits. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "storage/near/near_folder.h"
#include "storage/object_store.h"

namespace pgstrata {

enum class KeptBy : std::uint8_t {
  nothing,           // not kept: it changes
  name,              // written once, and its name never comes again
  name_and_version,  // written once; another may be written under its name later
};

struct NearStoreOptions {
  std::filesystem::path folder;  // of one repository and cluster, and of nothing else
  std::uint64_t limit_bytes = 4ULL << 30;
  unsigned free_percent_min = 10;  // nothing is added where less of the disk is free
  // How an object of that name is kept. Called from any thread.
  std::function<KeptBy(std::string_view name)> kept_by;
};

class NearStore : public ObjectStore {
 public:
  // The store beneath and the clock are borrowed.
  NearStore(ObjectStore& beneath, NearStoreOptions options, const Clock& clock = system_clock());

  [[nodiscard]] StoreCapabilities capabilities() const override;
  [[nodiscard]] std::string describe() const override { return beneath_.describe(); }

  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override;
  bool forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) override;
  Result<ObjectInfo> stat(std::string_view name) override;

  Result<void> put(std::string_view name, ByteView content) override { return beneath_.put(name, content); }
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override {
    return beneath_.create(name);
  }
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override {
    return beneath_.create_journal(name);
  }
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override {
    return beneath_.get(name, limit_bytes);
  }
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    return beneath_.list(prefix, after, limit);
  }
  Result<void> make_names_durable(std::string_view prefix) override {
    return beneath_.make_names_durable(prefix);
  }
  Result<void> remove(std::string_view name) override { return beneath_.remove(name); }
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    return beneath_.replace(name, expected, content);
  }
  Result<VersionedObject> get_versioned(std::string_view name) override {
    return beneath_.get_versioned(name);
  }

 private:
  using Content = std::shared_ptr<const Bytes>;  // shared by all who wait for it
  struct Fetch {
    std::optional<Result<Content>> content;  // once it is there
    bool is_over = false;  // its fetcher has left it: without content, whoever waits fetches for himself
    bool keeping = false;  // its fetcher is about to write it to the folder
    bool forgotten = false;
  };
  class OwnFetch;

  // From `offset` in the block into `into`, as far as it goes.
  Result<std::size_t> read_fetched(const NearBlockKey& key, const NearBlockPlace& place, std::size_t offset,
                                   MutableByteView into);
  Result<Content> fetch(const NearBlockKey& key, const NearBlockPlace& place);
  Result<Content> fetch_alone(const NearBlockKey& key, const NearBlockPlace& place, bool& kept);
  void keep(const NearBlockKey& key, ByteView content);
  bool can_keep();
  bool forget_block(const NearBlockKey& key);
  // By which its blocks are known; nothing when they are not kept.
  std::optional<ObjectVersion> version_of(std::string_view name);

  ObjectStore& beneath_;
  const NearStoreOptions options_;
  const Clock& clock_;
  NearFolder folder_;
  std::atomic<bool> warned_ = false;
  std::mutex mutex_;  // guards what follows, and all that is in a Fetch
  std::condition_variable fetched_;
  std::map<NearBlockKey, std::shared_ptr<Fetch>> fetches_;  // shared with those who fetch and wait
  SteadyTime keeps_from_ = SteadyTime::min();               // nothing is kept before
  std::map<std::string, ObjectVersion, std::less<>> versions_;
};

}  // namespace pgstrata
