// What the room's tests share. Only tests include this header.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/repository.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {

// A store that somebody else owns, for whoever wants to own one.
class BorrowedStore : public ObjectStore {
 public:
  explicit BorrowedStore(ObjectStore& store) : store_(store) {}

  [[nodiscard]] StoreCapabilities capabilities() const override { return store_.capabilities(); }
  [[nodiscard]] std::string describe() const override { return store_.describe(); }
  Result<void> put(std::string_view name, ByteView content) override { return store_.put(name, content); }
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override { return store_.create(name); }
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override {
    return store_.create_journal(name);
  }
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override {
    return store_.get(name, limit_bytes);
  }
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    return store_.read_some(name, offset, into);
  }
  bool forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) override {
    return store_.forget_copies(name, offset, size_bytes);
  }
  Result<ObjectInfo> stat(std::string_view name) override { return store_.stat(name); }
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override {
    return store_.list(prefix, after, limit);
  }
  Result<void> make_names_durable(std::string_view prefix) override {
    return store_.make_names_durable(prefix);
  }
  Result<void> remove(std::string_view name) override { return store_.remove(name); }
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    return store_.replace(name, expected, content);
  }
  Result<VersionedObject> get_versioned(std::string_view name) override { return store_.get_versioned(name); }

 private:
  ObjectStore& store_;
};

// As those of S3 are: every object is put whole.
class StoreWithoutJournals : public MemoryStore {
 public:
  [[nodiscard]] StoreCapabilities capabilities() const override {
    return {.journals = false, .conditional_writes = true, .far = true};
  }
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view) override {
    return fail(ErrorCode::unsupported, "no journals");
  }
};

inline std::unique_ptr<ObjectStore> borrow(ObjectStore& store) {
  return std::make_unique<BorrowedStore>(store);
}

// A clock that stands still until it is told otherwise.
class HeldClock : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return {start_micros + passed_.load()}; }
  [[nodiscard]] SteadyTime steady() const override {
    return SteadyTime(std::chrono::microseconds(passed_.load()));
  }
  void pass(std::chrono::microseconds span) { passed_ += span.count(); }

 private:
  static constexpr std::int64_t start_micros = 1'795'255'200'000'000;  // 2026-11-21 10:00 UTC
  std::atomic<std::int64_t> passed_{0};
};

template <class T>
std::string code_of(const Result<T>& result) {
  return result.has_value() ? "ok" : std::string(to_string(result.error().code()));
}
template <class T>
std::string message_of(const Result<T>& result) {
  return result.has_value() ? "ok" : result.error().describe();
}

inline SecretKey fixed_key(std::uint8_t fill) {
  return *SecretKey::from(Bytes(SecretKey::size_bytes, std::byte{fill}));
}

// Writes over an object, as damage would.
inline void overwrite(ObjectStore& store, std::string_view name, ByteView content) {
  ASSERT_TRUE(store.remove(name).has_value());
  ASSERT_TRUE(store.put(name, content).has_value());
}

// Puts every one-byte change and every truncation of an object in its place and asks `expect` about it. Puts
// the object back afterwards.
inline void for_each_damage(ObjectStore& store, std::string_view name,
                            const std::function<void(const std::string& what)>& expect) {
  const auto original = store.get(name);
  ASSERT_TRUE(original.has_value());
  for (std::size_t at = 0; at < original->size(); ++at) {
    for (const int mask : {0x01, 0x80}) {
      Bytes changed = *original;
      changed[at] ^= static_cast<std::byte>(mask);
      overwrite(store, name, changed);
      expect(fmt::format("byte {} changed by {:#x}", at, mask));
    }
  }
  for (std::size_t size = 0; size < original->size(); ++size) {
    overwrite(store, name, ByteView(*original).first(size));
    expect(fmt::format("cut to {} bytes", size));
  }
  overwrite(store, name, *original);
}

// Bytes that compress about as table pages do, different for each seed.
inline Bytes sample_content(std::size_t size, std::uint32_t seed) {
  Bytes content(size);
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 3 == 0) state = state * 1664525U + 1013904223U;
    content[i] = i % 3 == 0 ? static_cast<std::byte>(state >> 24) : std::byte{0x20};
  }
  return content;
}

}  // namespace pgstrata
