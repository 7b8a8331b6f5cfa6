// A store that counts what is read of it, and what is kept near of it. Only tests include this header.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "storage/memory/memory_store.h"
#include "storage/near/near_store.h"
#include "sys/temporary_directory.h"

namespace pgstrata {

// However full the disk is that tests run on.
inline NearStoreOptions options_in(const std::filesystem::path& folder, unsigned free_percent_min = 0) {
  return {.folder = folder, .free_percent_min = free_percent_min, .kept_by = [](std::string_view name) {
            if (name.starts_with("wal/j")) return KeptBy::nothing;
            return name.starts_with("wal/") ? KeptBy::name_and_version : KeptBy::name;
          }};
}

// Counts what is read, and can be slow or at fault.
class CountedStore : public MemoryStore {
 public:
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    ++reads;
    if (before_read) before_read();
    auto got = MemoryStore::read_some(name, offset, into);
    if (got) read_bytes += *got;
    return got;
  }
  std::atomic<int> reads{0};
  std::atomic<std::uint64_t> read_bytes{0};
  std::function<void()> before_read;
};

class LogLines : public LogSink {
 public:
  LogLines() { set_log_sink(this); }
  ~LogLines() override { set_log_sink(nullptr); }
  void write(Severity severity, std::string_view message) override {
    if (severity == Severity::warning) warnings.emplace_back(message);
  }
  std::vector<std::string> warnings;
};

// The machine's, and what a test adds.
class PassingClock : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return system_clock().now(); }
  [[nodiscard]] SteadyTime steady() const override {
    if (before_steady) before_steady();
    return system_clock().steady() + passed_.load();
  }
  void pass(std::chrono::seconds span) { passed_ = passed_.load() + span; }
  std::function<void()> before_steady;

 private:
  std::atomic<std::chrono::seconds> passed_{std::chrono::seconds(0)};
};

inline Bytes content_of(std::size_t size, unsigned seed) {
  Bytes content(size);
  for (std::size_t i = 0; i < size; ++i) {
    content[i] = static_cast<std::byte>(((i + seed * 977) * 2654435761U) >> 13);
  }
  return content;
}

class NearStoreTest : public ::testing::Test {
 protected:
  void put(const std::string& name, std::size_t size, unsigned seed = 1) {
    ASSERT_TRUE(beneath_.put(name, content_of(size, seed)));
  }
  // What is read, and whether it is what is there.
  bool reads_right(ObjectStore& store, const std::string& name, std::uint64_t offset, std::size_t size) {
    const Bytes whole = beneath_.get(name).value();
    Bytes into(size);
    const auto got = store.read_some(name, offset, into);
    if (!got) {
      ADD_FAILURE() << got.error().describe();
      return false;
    }
    const std::size_t expected =
        offset >= whole.size() ? 0 : std::min<std::size_t>(size, whole.size() - offset);
    return *got == expected &&
           std::ranges::equal(ByteView(into).first(*got),
                              ByteView(whole).subspan(std::min<std::size_t>(offset, whole.size()), expected));
  }
  // How many reads of the store that took.
  int reads_for(ObjectStore& store, const std::string& name, std::uint64_t offset, std::size_t size) {
    const int before = beneath_.reads;
    EXPECT_TRUE(reads_right(store, name, offset, size)) << name << " at " << offset << ", " << size;
    return beneath_.reads - before;
  }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    if (!std::filesystem::exists(folder_)) return found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      if (!entry.is_directory()) found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
  }
  std::filesystem::path only_file() const {
    const auto found = files();
    EXPECT_EQ(found.size(), 1U);
    return found.front();
  }
  std::unique_ptr<NearStore> another(std::uint64_t limit_bytes = 4ULL << 30) {
    auto options = options_in(folder_);
    options.limit_bytes = limit_bytes;
    return std::make_unique<NearStore>(beneath_, options);
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-near-").value();
  std::filesystem::path folder_ = directory_.path() / "state" / "near";
  CountedStore beneath_;
  PassingClock clock_;
  NearStore store_{beneath_, options_in(folder_), clock_};
};

}  // namespace pgstrata
