#include "storage/near/near_store.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/digest.h"
#include "storage/conformance.h"
#include "storage/fault/fault_store.h"
#include "storage/memory/memory_store.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t small_limit_bytes = 1;  // a block for each of the folders

// However full the disk is that tests run on.
NearStoreOptions options_in(const std::filesystem::path& folder, unsigned free_percent_min = 0) {
  return {.folder = folder, .free_percent_min = free_percent_min, .kept_by = [](std::string_view name) {
            if (name.starts_with("wal/j")) return KeptBy::nothing;
            return name.starts_with("wal/") ? KeptBy::name_and_version : KeptBy::name;
          }};
}

class NearHarness {
 public:
  ObjectStore& store() { return store_; }
  ObjectStore& other() { return other_; }

 private:
  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-near-").value();
  MemoryStore beneath_;
  NearStore store_{beneath_, options_in(directory_.path() / "near")};
  NearStore other_{beneath_, options_in(directory_.path() / "near")};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Near, ObjectStoreConformance, NearHarness);

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

Bytes content_of(std::size_t size, unsigned seed) {
  Bytes content(size);
  for (std::size_t i = 0; i < size; ++i) {
    content[i] = static_cast<std::byte>(((i + seed * 977) * 2654435761U) >> 13);
  }
  return content;
}

class NearStoreTest : public testing::Test {
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

TEST_F(NearStoreTest, ReadsTheStoreOnceForEachBlock) {
  put("packs/a", 3 * near_block_bytes + 1000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 10), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 100'000, 300'000), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", near_block_bytes - 5, 10), 1) << "across a border";
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 4 * near_block_bytes), 2);
  EXPECT_EQ(beneath_.read_bytes, 3 * near_block_bytes + 1000);
  const auto later = another();
  for (const std::size_t size : {1U, 4096U, 65535U, 65536U, 65537U, 524288U, 2'000'000U}) {
    for (const std::uint64_t offset : {0U, 1U, 65535U, 65536U, 524287U, 524288U, 1'572'863U, 1'572'864U,
                                       1'573'863U, 1'573'864U, 5'000'000U}) {
      if (offset >= 4 * near_block_bytes) continue;
      EXPECT_EQ(reads_for(*later, "packs/a", offset, size), 0);
    }
  }
}

TEST_F(NearStoreTest, KnowsWhereAnObjectEnds) {
  put("packs/whole", near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/whole", 0, near_block_bytes + 1), 2);
  EXPECT_EQ(reads_for(store_, "packs/whole", 0, near_block_bytes + 1), 0)
      << "that there is no more is kept, too";
  put("packs/short", 100);
  EXPECT_EQ(reads_for(store_, "packs/short", 90, 100), 1);
  EXPECT_EQ(reads_for(store_, "packs/short", 100, 100), 0);
  put("packs/empty", 0);
  EXPECT_EQ(reads_for(store_, "packs/empty", 0, 100), 1);
  EXPECT_EQ(reads_for(store_, "packs/empty", 0, 100), 0);
  Bytes more(11);
  const auto done = store_.read("packs/short", 90, more);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::damaged);
}

TEST_F(NearStoreTest, IsOnlyForItsUser) {
  put("packs/a", 10);
  const mode_t before = ::umask(0);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 10), 1);
  ::umask(before);
  EXPECT_EQ(stat_file(only_file()).value().permissions, 0600U);
  EXPECT_EQ(stat_file(folder_).value().permissions, 0700U);
  EXPECT_EQ(stat_file(only_file().parent_path()).value().permissions, 0700U);
  EXPECT_FALSE(store_.capabilities().far);
}

TEST_F(NearStoreTest, WhatIsWrittenMoreThanOnceGoesPast) {
  put("wal/journal", 10);
  EXPECT_EQ(reads_for(store_, "wal/journal", 0, 10), 1);
  EXPECT_EQ(reads_for(store_, "wal/journal", 0, 10), 1);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(NearStoreTest, AnotherObjectOfTheSameNameIsAnother) {
  put("wal/segment", 1000, 1);
  ASSERT_TRUE(store_.stat("wal/segment"));
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 1);
  ASSERT_TRUE(beneath_.remove("wal/segment"));
  put("wal/segment", 1000, 2);
  const auto later = another();
  ASSERT_TRUE(later->stat("wal/segment"));
  EXPECT_EQ(reads_for(*later, "wal/segment", 0, 1000), 1);
  ASSERT_TRUE(store_.stat("wal/segment"));
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 0);
}

TEST_F(NearStoreTest, NothingIsKeptByAVersionThatIsNotKnown) {
  put("wal/segment", 1000);
  EXPECT_EQ(reads_for(store_, "wal/segment", 0, 1000), 1);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_FALSE(store_.forget_copies("wal/segment", 0, 1000));
}

TEST_F(NearStoreTest, WhoAskedForAPackFindsWhatOthersHaveKept) {
  put("packs/a", 1000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  ASSERT_TRUE(store_.stat("packs/a"));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(NearStoreTest, ErrorsPassThroughAndAreNotKept) {
  put("packs/a", 10);
  FaultStore faults(beneath_, 1);
  NearStore store(faults, options_in(folder_));
  Bytes into(10);
  for (const auto code : {ErrorCode::unavailable, ErrorCode::damaged, ErrorCode::permission}) {
    faults.set_fault({.at_step = faults.steps() + 1, .code = code});
    const auto got = store.read_some("packs/a", 0, into);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), code);
  }
  EXPECT_EQ(store.read_some("packs/missing", 0, into).error().code(), ErrorCode::not_found);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store, "packs/a", 0, 10), 1);
  put("packs/missing", 5);
  EXPECT_EQ(reads_for(store, "packs/missing", 0, 10), 1);
}

TEST_F(NearStoreTest, ConcurrentReadersFetchABlockOnce) {
  put("packs/a", near_block_bytes);
  beneath_.before_read = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  std::vector<std::thread> readers;
  for (unsigned who = 0; who < 8; ++who) {
    readers.emplace_back([&, who] { EXPECT_TRUE(reads_right(store_, "packs/a", who * 50'000, 50'000)); });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(beneath_.reads, 1);
}

TEST_F(NearStoreTest, AllWhoWaitAreToldOfAFailure) {
  beneath_.before_read = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  std::atomic<int> told{0};
  std::vector<std::thread> readers;
  for (int who = 0; who < 4; ++who) {
    readers.emplace_back([&] {
      Bytes into(10);
      const auto got = store_.read_some("packs/missing", 0, into);
      if (!got && got.error().code() == ErrorCode::not_found) ++told;
    });
  }
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(told, 4);
}

TEST_F(NearStoreTest, NobodyWaitsForWhoGaveUp) {
  put("packs/a", 1000);
  std::atomic<bool> begun = false;
  beneath_.before_read = [&] {
    if (begun.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    throw std::bad_alloc();
  };
  std::thread other([&] {
    while (!begun) std::this_thread::yield();
    EXPECT_TRUE(reads_right(store_, "packs/a", 0, 1000));
  });
  Bytes into(10);
  EXPECT_THROW(static_cast<void>(store_.read_some("packs/a", 0, into)), std::bad_alloc);
  other.join();
  EXPECT_EQ(beneath_.reads, 2);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

TEST_F(NearStoreTest, StaysWithinItsBoundWhoeverAdds) {
  constexpr int objects = 700;
  for (int i = 0; i < objects; ++i) put(fmt::format("packs/{}", i), 100, static_cast<unsigned>(i));
  const auto first = another(small_limit_bytes);
  const auto second = another(small_limit_bytes);
  const auto read_all = [&](NearStore& store) {
    for (int i = 0; i < objects; ++i) EXPECT_TRUE(reads_right(store, fmt::format("packs/{}", i), 0, 100));
  };
  std::thread other([&] { read_all(*second); });
  read_all(*first);
  other.join();
  const auto kept = files();
  EXPECT_GT(kept.size(), 200U);
  std::map<std::filesystem::path, int> in_folder;
  for (const auto& file : kept) EXPECT_EQ(++in_folder[file.parent_path()], 1) << file;
  const std::uint64_t larger = 3ULL * 256 * (near_block_bytes + 4096);
  read_all(*another(larger));
  in_folder.clear();
  for (const auto& file : files()) EXPECT_LE(++in_folder[file.parent_path()], 3) << file;
  EXPECT_GT(files().size(), kept.size());
}

// By name, so that they share a folder.
std::vector<std::string> of_one_folder(std::size_t count) {
  std::map<std::byte, std::vector<std::string>> by_folder;
  for (int i = 0;; ++i) {
    auto name = fmt::format("packs/{}", i);
    auto& names = by_folder[near_block_key({.object = name, .version = {}, .number = 0})[0]];
    names.push_back(std::move(name));
    if (names.size() == count) return names;
  }
}

TEST_F(NearStoreTest, WhatWasNotUsedForLongestGoes) {
  const auto names = of_one_folder(4);
  for (const auto& name : names) put(name, 100);
  const auto store = another(3ULL * 256 * (near_block_bytes + 4096));
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(reads_for(*store, names[static_cast<std::size_t>(i)], 0, 100), 1);
    pause();
  }
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 0);
  pause();
  EXPECT_EQ(reads_for(*store, names[3], 0, 100), 1);
  EXPECT_EQ(files().size(), 3U);
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1) << "it was the one";
}

TEST_F(NearStoreTest, WhatAClockThatWasAheadHasLeftGoesFirst) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  const auto store = another(2ULL * 256 * (near_block_bytes + 4096));
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
  const timespec ahead{.tv_sec = ::time(nullptr) + 86'400, .tv_nsec = 0};
  const timespec times[2] = {ahead, ahead};
  ASSERT_EQ(::utimensat(AT_FDCWD, only_file().c_str(), times, 0), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 0);
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
}

TEST_F(NearStoreTest, WhoeverAddsTakesAwayWhatDeadWritersLeft) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  EXPECT_EQ(reads_for(store_, names[0], 0, 100), 1);
  const auto folder = only_file().parent_path();
  const timespec old{.tv_sec = ::time(nullptr) - 3600, .tv_nsec = 0};
  const timespec times[2] = {old, old};
  for (const auto* name : {"new.1.2.3", "README"}) {
    ASSERT_TRUE(write_file(folder / name, {}));
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder / name).c_str(), times, 0), 0);
  }
  ASSERT_TRUE(write_file(folder / "new.1.2.4", {}));
  EXPECT_EQ(reads_for(store_, names[1], 0, 100), 1);
  EXPECT_FALSE(file_exists(folder / "new.1.2.3").value());
  EXPECT_TRUE(file_exists(folder / "new.1.2.4").value()) << "it may be written just now";
  EXPECT_TRUE(file_exists(folder / "README").value()) << "whoever put it there";
}

TEST_F(NearStoreTest, WhatIsWrongIsReadAgainAndReplaced) {
  put("packs/a", 200'000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 1);
  const auto file = only_file();
  const Bytes whole = read_file(file).value();
  ASSERT_EQ(whole.size(), near_header_bytes + 200'000);
  const auto heals = [&](const std::string& what, const std::function<void()>& harm) {
    SCOPED_TRACE(what);
    harm();
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 1);
    EXPECT_EQ(only_file(), file);
    EXPECT_TRUE(read_file(file).value() == whole);
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 200'000), 0);
  };
  const auto write = [&](const Bytes& bytes) { ASSERT_TRUE(write_file(file, bytes)); };
  for (std::size_t at = 0; at < whole.size(); at += at < near_header_bytes + 4 ? 1 : 12'345) {
    heals(fmt::format("byte {}", at), [&] {
      Bytes changed = whole;
      changed[at] ^= std::byte{0x10};
      write(changed);
    });
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, near_header_bytes - 1, near_header_bytes,
                                 near_header_bytes + 100'000, whole.size() - 1}) {
    heals(fmt::format("cut to {}", size), [&] { write(to_bytes(ByteView(whole).first(size))); });
  }
  heals("longer", [&] {
    Bytes longer = whole;
    longer.push_back({});
    write(longer);
  });
  const auto elsewhere = directory_.path() / "elsewhere";
  ASSERT_TRUE(write_file(elsewhere, whole));
  const auto in_its_place = [&](const std::function<int()>& make) {
    return [&, make] {
      ASSERT_TRUE(remove_file(file));
      ASSERT_EQ(make(), 0);
    };
  };
  heals("a link", in_its_place([&] { return ::symlink(elsewhere.c_str(), file.c_str()); }));
  heals("a link to itself", in_its_place([&] { return ::symlink(file.c_str(), file.c_str()); }));
  heals("a FIFO", in_its_place([&] { return ::mkfifo(file.c_str(), 0600); }));
  heals("a folder", in_its_place([&] { return ::mkdir(file.c_str(), 0700); }));
  heals("a folder with something in it",
        in_its_place([&] { return ::mkdir(file.c_str(), 0700) + (write_file(file / "x", {}) ? 0 : 1); }));
  EXPECT_TRUE(read_file(elsewhere).value() == whole);
}

// What the store has said wrong once is kept as it was.
TEST_F(NearStoreTest, WhoFindsItWrongHasItReadAgain) {
  put("packs/a", 3 * near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 3 * near_block_bytes), 3);
  EXPECT_TRUE(store_.forget_copies("packs/a", near_block_bytes - 1, 2));
  EXPECT_FALSE(store_.forget_copies("packs/a", near_block_bytes - 1, 2));
  EXPECT_EQ(files().size(), 1U);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 3 * near_block_bytes), 2);
}

TEST_F(NearStoreTest, WhatIsForgottenWhileItIsFetchedIsNotKept) {
  put("packs/a", 1000);
  bool forgotten = false;
  beneath_.before_read = [&] { forgotten = store_.forget_copies("packs/a", 0, 10); };
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  beneath_.before_read = {};
  EXPECT_TRUE(forgotten);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

TEST_F(NearStoreTest, WhatIsForgottenWhileItIsBeingKeptDoesNotStay) {
  put("packs/a", 1000);
  std::atomic<bool> fetched = false;
  std::atomic<bool> keeping = false;
  beneath_.before_read = [&] { fetched = true; };
  // The file's name has a time in it.
  clock_.before_steady = [&] {
    if (!fetched || keeping.exchange(true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  std::thread fetcher([&] { EXPECT_TRUE(reads_right(store_, "packs/a", 0, 1000)); });
  while (!keeping) std::this_thread::yield();
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0) << "of what was fetched";
  EXPECT_TRUE(store_.forget_copies("packs/a", 0, 1000));
  fetcher.join();
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
}

TEST_F(NearStoreTest, OnlyThePiecesThatAreAskedForAreLookedAt) {
  put("packs/a", 200'000);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1), 1);
  Bytes changed = read_file(only_file()).value();
  changed[near_header_bytes + near_piece_bytes + 5] ^= std::byte{1};
  ASSERT_TRUE(write_file(only_file(), changed));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_piece_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", 2 * near_piece_bytes, near_piece_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/a", near_piece_bytes - 1, 2), 1);
}

TEST_F(NearStoreTest, AnotherBlocksFileIsNotItsOwn) {
  put("packs/a", 1000, 1);
  put("packs/b", 1000, 2);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  const auto a = only_file();
  EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
  for (const auto& file : files()) {
    if (file != a) std::filesystem::copy_file(a, file, std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
}

TEST_F(NearStoreTest, AFolderThatIsRemovedIsMadeAgain) {
  put("packs/a", 1000);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  ASSERT_TRUE(remove_tree(directory_.path() / "state"));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
  EXPECT_THAT(log.warnings, IsEmpty());
}

// A file is in its place: also root can make no folder there.
TEST_F(NearStoreTest, WithoutAFolderTheStoreAnswers) {
  put("packs/a", 1000);
  put("packs/b", 1000);
  ASSERT_TRUE(write_file(directory_.path() / "state", {}));
  LogLines log;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
    EXPECT_EQ(reads_for(store_, "packs/b", 0, 1000), 1);
  }
  ASSERT_EQ(log.warnings.size(), 1U) << "it is said once";
  EXPECT_THAT(log.warnings[0], HasSubstr(folder_.native()));
  ASSERT_TRUE(remove_file(directory_.path() / "state"));
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, 1000), 0);
}

TEST_F(NearStoreTest, WhereNothingCanBeKeptOnlyWhatIsAskedForIsRead) {
  put("packs/a", 4 * near_block_bytes);
  ASSERT_TRUE(write_file(directory_.path() / "state", {}));
  LogLines log;
  const auto reads_bytes = [&](std::uint64_t offset, std::size_t size) {
    const std::uint64_t before = beneath_.read_bytes;
    EXPECT_EQ(reads_for(store_, "packs/a", offset, size), 1);
    return beneath_.read_bytes - before;
  };
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes);
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  EXPECT_EQ(reads_bytes(near_block_bytes - 5, 2 * near_block_bytes), 2 * near_block_bytes);
  EXPECT_EQ(reads_bytes(4 * near_block_bytes - 5, 10), 5U);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes) << "it is tried again";
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  ASSERT_TRUE(remove_file(directory_.path() / "state"));
  EXPECT_EQ(reads_bytes(0, 10), 10U);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_bytes(0, 10), near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 10, 10), 0);
}

// A disk of 10 MiB, of which a test may use as much as it likes.
class NearStoreDiskTest : public NearStoreTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_directories(folder_));
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=10m,mode=0700") == 0;
    if (!mounted_) GTEST_SKIP() << "SKIPPED: this user may not mount a tmpfs; run as root";
  }
  void TearDown() override {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  void fill(std::size_t size) { ASSERT_TRUE(write_file(folder_ / "filler", Bytes(size))); }

 private:
  bool mounted_ = false;
};

TEST_F(NearStoreDiskTest, NothingIsAddedWhereLessThanATenthIsFree) {
  put("packs/a", near_block_bytes);
  put("packs/b", near_block_bytes);
  NearStore store(beneath_, options_in(folder_, NearStoreOptions().free_percent_min), clock_);
  LogLines log;
  EXPECT_EQ(reads_for(store, "packs/a", 0, near_block_bytes), 1);
  fill(9U << 20);
  EXPECT_EQ(reads_for(store, "packs/a", 0, near_block_bytes), 0);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(files().size(), 2U);
  ASSERT_EQ(log.warnings.size(), 1U);
  EXPECT_THAT(log.warnings[0], HasSubstr("less than 10 % of the disk"));
  fill(0);
  clock_.pass(std::chrono::minutes(1));
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store, "packs/b", 0, near_block_bytes), 0);
}

// As many inodes as there are: a folder can be made, a file in it cannot.
TEST_F(NearStoreDiskTest, ABlockThatCannotBeWrittenLeavesNothing) {
  put("packs/a", near_block_bytes);
  ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, "size=10m,nr_inodes=2"), 0);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(log.warnings.size(), 1U);
}

// Nobody can remove what something is mounted at.
TEST_F(NearStoreDiskTest, WhatCannotBeRemovedIsNoFailureToKeep) {
  const auto names = of_one_folder(3);
  for (const auto& name : names) put(name, 100);
  const auto store = another(small_limit_bytes);
  LogLines log;
  EXPECT_EQ(reads_for(*store, names[0], 0, 100), 1);
  const auto stuck = only_file().parent_path() / std::string(32, '0');
  ASSERT_TRUE(make_directories(stuck));
  ASSERT_EQ(::mount("tmpfs", stuck.c_str(), "tmpfs", 0, "size=1m,mode=0700"), 0);
  const timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 0}, {.tv_sec = 1000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, stuck.c_str(), times, 0), 0);
  EXPECT_EQ(reads_for(*store, names[1], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 1);
  EXPECT_EQ(reads_for(*store, names[2], 0, 100), 0);
  EXPECT_EQ(files().size(), 1U) << "the others are removed";
  EXPECT_THAT(log.warnings, IsEmpty());
  ::umount2(stuck.c_str(), MNT_DETACH);
}

TEST_F(NearStoreDiskTest, AReadOnlyDiskStillServes) {
  put("packs/a", near_block_bytes);
  put("packs/b", near_block_bytes);
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 1);
  ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  LogLines log;
  EXPECT_EQ(reads_for(store_, "packs/a", 0, near_block_bytes), 0);
  EXPECT_EQ(reads_for(store_, "packs/b", 0, near_block_bytes), 1);
  EXPECT_EQ(log.warnings.size(), 1U);
}

// As docs/formats/near-cache.md has it.
constexpr std::string_view golden_header =
    "5047534e0100000042ac9f14099ac755390a5404129973be03000000b73f4b360000000000000000000000000000000000000000"
    "00000000"
    "000000004e226919";

TEST(NearBlockTest, GoldenHeader) {
  const auto key = near_block_key({.object = "clusters/app/packs/01", .version = {}, .number = 3});
  const auto header = near_block_header(key, as_byte_view("abc"));
  EXPECT_EQ(to_hex(write_near_block_header(header)), golden_header);
  const auto parsed = parse_near_block_header(*from_hex(golden_header));
  ASSERT_TRUE(parsed) << parsed.error().describe();
  EXPECT_EQ(*parsed, header);
}

TEST(NearBlockTest, KeysTellAllOfAPlace) {
  const ObjectVersion version{.size_bytes = 1, .modified = {2}};
  const std::vector<NearBlockPlace> places{{"a", {}, 0},      {"b", {}, 0},       {"a", {}, 1},
                                           {"a", version, 0}, {"a", {1, {3}}, 0}, {"a", {2, {2}}, 0},
                                           {"ab", {}, 0}};
  std::set<NearBlockKey> keys;
  for (const auto& place : places) keys.insert(near_block_key(place));
  EXPECT_EQ(keys.size(), places.size());
}

TEST(NearBlockTest, EveryChangeOfAHeaderIsDamage) {
  const auto whole = write_near_block_header(near_block_header({}, content_of(near_block_bytes, 1)));
  ASSERT_EQ(whole.size(), near_header_bytes);
  ASSERT_TRUE(parse_near_block_header(whole));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(parse_near_block_header(changed)) << at;
    EXPECT_FALSE(parse_near_block_header(ByteView(whole).first(at))) << at;
  }
}

}  // namespace
}  // namespace pgstrata
