#include "repo/pack.h"

#include "repo/pack_format.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

ContentTag tag_of(std::uint8_t fill) {
  ContentTag tag;
  tag.fill(std::byte{fill});
  return tag;
}

class PackTest : public testing::Test {
 protected:
  PackWriter writer(int level = 1) { return *PackWriter::create(space_, PackKind::data, id_, name_, level); }

  // Writes a pack of these contents; the tag of each is its number.
  std::vector<ChunkLocation> write(const std::vector<Bytes>& contents) {
    PackWriter pack = writer();
    std::vector<ChunkLocation> locations;
    for (const Bytes& content : contents) {
      const auto location = pack.append(content, tag_of(static_cast<std::uint8_t>(locations.size())));
      EXPECT_EQ(message_of(location), "ok");
      locations.push_back(*location);
    }
    EXPECT_EQ(message_of(pack.commit()), "ok");
    return locations;
  }

  Result<Bytes> read(const ChunkLocation& location, std::size_t room = max_chunk_content_bytes) {
    ChunkReader reader(space_);
    Bytes into(room);
    PGS_TRY(const std::size_t size, reader.read({.pack = id_, .location = location}, into));
    into.resize(size);
    return into;
  }

  MemoryStore store_;
  HeldClock clock_;
  ClusterSpace space_{store_, "app", fixed_key(1)};
  PackId id_ = new_pack_id(clock_);
  std::string name_ = pack_name(id_);
  std::string object_ = space_.object_name(name_);
};

TEST_F(PackTest, IdsSortByAgeAndComeBackFromText) {
  clock_.pass(std::chrono::milliseconds(1));
  const PackId later = new_pack_id(clock_);
  EXPECT_LT(id_, later);
  EXPECT_LT(to_string(id_), to_string(later));
  EXPECT_EQ(*parse_pack_id(to_string(id_)), id_);
  EXPECT_EQ(to_string(id_).size(), 32U);
  for (const char* text : {"", "12", "zz000000000000000000000000000000"}) {
    EXPECT_EQ(code_of(parse_pack_id(text)), "usage");
  }
}

TEST_F(PackTest, ChunksComeBackAsTheyWereAppended) {
  const std::vector<Bytes> contents{sample_content(131'072, 1),
                                    {},
                                    random_bytes(5'000),
                                    sample_content(1, 2),
                                    sample_content(max_chunk_content_bytes, 3),
                                    random_bytes(max_chunk_content_bytes),
                                    sample_content(20'000, 4)};
  const auto locations = write(contents);
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const auto back = read(locations[i]);
    ASSERT_EQ(message_of(back), "ok");
    EXPECT_EQ(*back, contents[i]) << i;
    EXPECT_LE(locations[i].stored_size, stored_size_limit(contents[i].size()));
  }
  EXPECT_LT(locations[0].stored_size, contents[0].size());
}

TEST_F(PackTest, IsInvisibleUntilCommitted) {
  {
    PackWriter pack = writer();
    ASSERT_EQ(code_of(pack.append(sample_content(100, 1), {})), "ok");
    EXPECT_EQ(code_of(store_.stat(object_)), "not_found");
  }
  EXPECT_TRUE(store_.list_all("")->empty());
}

TEST_F(PackTest, SizeIsThatOfTheObject) {
  PackWriter pack = writer();
  ASSERT_EQ(code_of(pack.append(sample_content(100'000, 1), {})), "ok");
  ASSERT_EQ(code_of(pack.append(random_bytes(3'000'000), {})), "ok");
  ASSERT_EQ(code_of(pack.commit()), "ok");
  EXPECT_EQ(pack.size_bytes(), store_.stat(object_)->size_bytes);
  EXPECT_EQ(code_of(pack.append(random_bytes(3), {})), "failed");
  EXPECT_EQ(code_of(pack.commit()), "failed");
}

TEST_F(PackTest, RefusesATakenNameAndAnOversizedChunk) {
  PackWriter pack = writer();
  EXPECT_EQ(code_of(pack.append(Bytes(max_chunk_content_bytes + 1), {})), "usage");
  ASSERT_EQ(code_of(pack.append(random_bytes(3), {})), "ok");
  ASSERT_TRUE(store_.put(object_, as_byte_view("taken")).has_value());
  EXPECT_EQ(code_of(pack.commit()), "already_exists");
  EXPECT_EQ(as_text(*store_.get(object_)), "taken");
}

TEST_F(PackTest, LevelMayChangeBetweenChunks) {
  const Bytes content = sample_content(200'000, 1);
  PackWriter pack = writer(-5);
  const auto fast = pack.append(content, {});
  pack.set_compression_level(9);
  const auto small = pack.append(content, {});
  ASSERT_EQ(code_of(pack.commit()), "ok");
  EXPECT_LT(small->stored_size, fast->stored_size);
  EXPECT_EQ(*read(*small), content);
  EXPECT_EQ(*read(*fast), content);
}

TEST_F(PackTest, WhatWouldTakeTooMuchIsNotWritten) {
  const Bytes content = sample_content(20'000, 1);
  const Bytes other = random_bytes(500);
  PackWriter pack = writer();
  const auto first = *pack.append(content, {});
  const auto size_bytes = pack.size_bytes();
  EXPECT_EQ(*pack.append_within(first.stored_size - 1, content, {}), std::nullopt);
  EXPECT_EQ(pack.size_bytes(), size_bytes);
  const auto fits = *pack.append_within(first.stored_size, content, {});
  ASSERT_TRUE(fits.has_value());
  EXPECT_EQ(fits->offset, first.offset + first.stored_size);
  EXPECT_EQ(*pack.append_within(stored_size_limit(other.size()) - 1, other, {}), std::nullopt);
  ASSERT_EQ(code_of(pack.commit()), "ok");
  EXPECT_EQ(*read(*fits), content);
  EXPECT_EQ(PackReader::open(space_, name_, PackKind::data)->directory().size(), 2U);
}

TEST_F(PackTest, DirectoryListsEveryChunkWithItsTag) {
  const std::vector<Bytes> contents{sample_content(3'000, 1), {}, random_bytes(700)};
  const auto locations = write(contents);
  const auto pack = PackReader::open(space_, name_, PackKind::data);
  ASSERT_EQ(message_of(pack), "ok");
  EXPECT_EQ(pack->id(), id_);
  EXPECT_EQ(pack->size_bytes(), store_.stat(object_)->size_bytes);
  ASSERT_EQ(pack->directory().size(), contents.size());
  for (std::size_t i = 0; i < contents.size(); ++i) {
    EXPECT_EQ(pack->directory()[i].location, locations[i]);
    EXPECT_EQ(pack->directory()[i].content_size, contents[i].size());
    EXPECT_EQ(pack->directory()[i].tag, tag_of(static_cast<std::uint8_t>(i)));
  }
}

TEST_F(PackTest, MayHoldNoChunk) {
  write({});
  auto pack = PackReader::open(space_, name_, PackKind::data);
  ASSERT_EQ(message_of(pack), "ok");
  EXPECT_TRUE(pack->directory().empty());
}

TEST_F(PackTest, DirectoryTooLargeForTheFirstReadIsFetched) {
  constexpr std::size_t chunks = 10'000;
  PackWriter pack = writer();
  for (std::size_t i = 0; i < chunks; ++i) {
    ContentTag tag;
    fill_random(tag);
    ASSERT_TRUE(pack.append(as_byte_view(std::to_string(i)), tag).has_value());
  }
  ASSERT_EQ(code_of(pack.commit()), "ok");
  auto reader = PackReader::open(space_, name_, PackKind::data);
  ASSERT_EQ(message_of(reader), "ok");
  ASSERT_EQ(reader->directory().size(), chunks);
  std::size_t seen = 0;
  const auto done = reader->read_all([&](const PackDirectoryEntry&, ByteView content) -> Result<void> {
    EXPECT_EQ(as_text(content), std::to_string(seen++));
    return {};
  });
  EXPECT_EQ(message_of(done), "ok");
  EXPECT_EQ(seen, chunks);
}

TEST_F(PackTest, OpensWithItsOwnKeyAlone) {
  const Bytes content = sample_content(3'000, 1);
  write({content});
  auto pack = PackReader::open_with_key(store_, "app", name_, PackKind::data, pack_key(space_, id_));
  ASSERT_EQ(message_of(pack), "ok");
  Bytes into(content.size());
  ASSERT_EQ(message_of(pack->read(pack->directory().front(), into)), "ok");
  EXPECT_EQ(into, content);
  EXPECT_EQ(code_of(PackReader::open_with_key(store_, "app", name_, PackKind::data, fixed_key(9))),
            "damaged");
}

TEST_F(PackTest, OpensOnlyAsItsKindUnderItsNameInItsCluster) {
  const auto locations = write({sample_content(3'000, 1)});
  EXPECT_EQ(code_of(PackReader::open(space_, name_, PackKind::wal)), "damaged");
  EXPECT_EQ(code_of(PackReader::open(space_, "packs/missing", PackKind::data)), "not_found");

  const PackId other_id = new_pack_id(clock_);
  ASSERT_TRUE(store_.put(space_.object_name(pack_name(other_id)), *store_.get(object_)).has_value());
  EXPECT_EQ(code_of(PackReader::open(space_, pack_name(other_id), PackKind::data)), "damaged");
  ChunkReader reader(space_);
  Bytes into(3'000);
  EXPECT_EQ(code_of(reader.read({.pack = other_id, .location = locations[0]}, into)), "damaged");

  const ClusterSpace other(store_, "app", fixed_key(2));
  EXPECT_EQ(code_of(PackReader::open(other, name_, PackKind::data)), "damaged");
}

TEST_F(PackTest, ChunkOpensOnlyAtItsOffset) {
  const Bytes content = sample_content(3'000, 1);
  const auto locations = write({content, content});
  ASSERT_EQ(locations[0].stored_size, locations[1].stored_size);
  Bytes object = *store_.get(object_);
  std::swap_ranges(object.begin() + static_cast<std::ptrdiff_t>(locations[0].offset),
                   object.begin() + static_cast<std::ptrdiff_t>(locations[1].offset),
                   object.begin() + static_cast<std::ptrdiff_t>(locations[1].offset));
  overwrite(store_, object_, object);
  EXPECT_EQ(code_of(read(locations[0])), "damaged");
  EXPECT_EQ(code_of(read(locations[1])), "damaged");
}

TEST_F(PackTest, RefusesWhatDoesNotFitTheCallersRoom) {
  const auto locations = write({sample_content(3'000, 1), random_bytes(3'000)});
  for (const ChunkLocation& location : locations) {
    EXPECT_EQ(code_of(read(location, 3'000)), "ok");
    EXPECT_EQ(code_of(read(location, 2'999)), "damaged");
  }
}

TEST_F(PackTest, NamesAMissingPack) {
  const auto back = read({.offset = 28, .stored_size = 100});
  EXPECT_EQ(code_of(back), "damaged");
  EXPECT_THAT(message_of(back), testing::HasSubstr(object_));
}

TEST_F(PackTest, RefusesLocationsThatNoChunkCanHave) {
  write({sample_content(3'000, 1)});
  EXPECT_EQ(code_of(read({.offset = 0, .stored_size = 100})), "damaged");
  EXPECT_EQ(code_of(read({.offset = 28, .stored_size = 19})), "damaged");
  EXPECT_EQ(code_of(read({.offset = 28, .stored_size = 0xFFFFFFFF})), "damaged");
  EXPECT_EQ(code_of(read({.offset = ~std::uint64_t{0}, .stored_size = 100})), "damaged");
}

TEST_F(PackTest, AnyDamageIsToldAndNoContentIsEverWrong) {
  const std::vector<Bytes> contents{sample_content(90, 1), random_bytes(40)};
  const auto locations = write(contents);
  for_each_damage(store_, object_, [&](const std::string& what) {
    auto pack = PackReader::open(space_, name_, PackKind::data);
    std::size_t damaged = 0;
    if (pack.has_value()) {
      std::size_t right = 0;
      const auto done = pack->read_all(
          [&](const PackDirectoryEntry& entry, ByteView content) -> Result<void> {
            const std::size_t index = entry.location == locations[0] ? 0 : 1;
            right += to_bytes(content) == contents[index] ? 1U : 0U;
            return {};
          },
          [&](const PackDirectoryEntry&, const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::damaged) << what;
            ++damaged;
          });
      EXPECT_EQ(message_of(done), "ok") << what;
      EXPECT_EQ(right + damaged, contents.size()) << what;
    } else {
      EXPECT_EQ(code_of(pack), "damaged") << what << ": " << message_of(pack);
      damaged = 1;
    }
    EXPECT_EQ(damaged, 1U) << what;
  });
}

TEST_F(PackTest, ReadAllStopsAtTheFirstDamageUnlessItIsAsked) {
  const auto locations = write({sample_content(90, 1), sample_content(90, 2), sample_content(90, 3)});
  Bytes object = *store_.get(object_);
  object[locations[1].offset] ^= std::byte{1};
  overwrite(store_, object_, object);
  auto pack = *PackReader::open(space_, name_, PackKind::data);
  std::vector<std::uint64_t> seen;
  const auto note = [&](const PackDirectoryEntry& entry, ByteView) -> Result<void> {
    seen.push_back(entry.location.offset);
    return {};
  };
  const auto stopped = pack.read_all(note);
  EXPECT_EQ(code_of(stopped), "damaged");
  EXPECT_THAT(message_of(stopped), testing::HasSubstr(fmt::format("offset {}", locations[1].offset)));
  EXPECT_THAT(message_of(stopped), testing::HasSubstr(name_));
  EXPECT_THAT(seen, testing::ElementsAre(locations[0].offset));
  seen.clear();
  std::size_t told = 0;
  EXPECT_EQ(code_of(pack.read_all(note, [&](const PackDirectoryEntry&, const Error&) { ++told; })), "ok");
  EXPECT_EQ(told, 1U);
  EXPECT_THAT(seen, testing::ElementsAre(locations[0].offset, locations[2].offset));
}

// A store with a copy of what was read once, which was wrong.
class StoreWithBadCopies : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    auto got = BorrowedStore::read_some(name, offset, into);
    if (bad && newer && offset == 0) {
      make_newer(into);
    } else if (bad && !newer && got && *got != 0) {
      into[*got / 2] ^= std::byte{1};
    }
    return got;
  }
  bool forget_copies(std::string_view, std::uint64_t, std::uint64_t) override {
    return std::exchange(bad, false);
  }
  bool bad = false;
  bool newer = false;  // of a version that there is not, with a checksum that is right

 private:
  static void make_newer(MutableByteView object) {
    constexpr std::size_t version_offset = 4;
    constexpr std::size_t checksum_offset = object_header_size_bytes - 4;
    object[version_offset + 1] = std::byte{0x7f};
    ByteWriter checksum;
    checksum.u32(crc32c_finish(crc32c_extend(crc32c_begin, object.first(checksum_offset))));
    std::ranges::copy(checksum.view(), object.begin() + checksum_offset);
  }
};

TEST_F(PackTest, DamageOfACopyIsReadPast) {
  const std::vector<Bytes> contents = {sample_content(50'000, 1), sample_content(60'000, 2)};
  const auto locations = write(contents);
  StoreWithBadCopies store(store_);
  const ClusterSpace space(store, "app", fixed_key(1));
  ChunkReader reader(space);
  Bytes into(60'000);
  store.bad = true;
  EXPECT_EQ(code_of(reader.read({id_, locations[1]}, into)), "ok");
  EXPECT_TRUE(into == contents[1]);
  store.bad = true;
  auto pack = PackReader::open(space, name_, PackKind::data);
  ASSERT_EQ(code_of(pack), "ok");
  store.bad = true;
  EXPECT_EQ(code_of(pack->read(pack->directory()[1], into)), "ok");
  EXPECT_TRUE(into == contents[1]);
  store.bad = true;
  std::vector<Bytes> seen;
  EXPECT_EQ(code_of(pack->read_all([&](const PackDirectoryEntry&, ByteView content) -> Result<void> {
              seen.push_back(to_bytes(content));
              return {};
            })),
            "ok");
  EXPECT_TRUE(seen == contents);
}

// The version is read before anything is authenticated: whoever can write to the copy can make one up.
TEST_F(PackTest, ACopyOfANewerVersionIsReadPast) {
  write({sample_content(50'000, 1)});
  StoreWithBadCopies store(store_);
  store.bad = store.newer = true;
  EXPECT_EQ(code_of(PackReader::open(ClusterSpace(store, "app", fixed_key(1)), name_, PackKind::data)), "ok");
  EXPECT_FALSE(store.bad) << "it was the copy that was read first";
}

// Counts what is asked of a store.
class CountingStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override {
    ++reads;
    return BorrowedStore::read_some(name, offset, into);
  }
  std::size_t reads = 0;
};

TEST_F(PackTest, ReadRunJoinsWhatLiesBackToBack) {
  std::vector<Bytes> contents;
  for (std::uint32_t i = 0; i < 20; ++i) contents.push_back(sample_content(50'000, i));
  auto locations = write(contents);
  locations.erase(locations.begin() + 7);
  contents.erase(contents.begin() + 7);
  CountingStore counting(store_);
  ChunkReader reader(ClusterSpace(counting, "app", fixed_key(1)));
  std::size_t next = 0;
  const auto done = reader.read_run(id_, locations, [&](std::size_t index, ByteView content) -> Result<void> {
    EXPECT_EQ(index, next);
    EXPECT_EQ(to_bytes(content), contents[next++]);
    return {};
  });
  EXPECT_EQ(message_of(done), "ok");
  EXPECT_EQ(next, contents.size());
  EXPECT_EQ(counting.reads, 2U);
}

TEST_F(PackTest, ReadRunBoundsEachRequestAndPassesErrorsOn) {
  const std::vector<Bytes> contents{random_bytes(3U << 20), random_bytes(3U << 20), random_bytes(1000)};
  const auto locations = write(contents);
  CountingStore counting(store_);
  ChunkReader reader(ClusterSpace(counting, "app", fixed_key(1)));
  const auto accept = [](std::size_t, ByteView) -> Result<void> { return {}; };
  EXPECT_EQ(code_of(reader.read_run(id_, locations, accept)), "ok");
  EXPECT_EQ(counting.reads, 2U);
  EXPECT_EQ(code_of(reader.read_run(id_, {}, accept)), "ok");
  const auto refuse = [](std::size_t, ByteView) -> Result<void> { return fail(ErrorCode::no_space, "full"); };
  EXPECT_EQ(code_of(reader.read_run(id_, locations, refuse)), "no_space");
}

TEST_F(PackTest, ReaderServesMorePacksThanItKeepsKeysOf) {
  constexpr std::size_t packs = 100;
  std::vector<ChunkRef> refs;
  for (std::uint32_t i = 0; i < packs; ++i) {
    const PackId id = new_pack_id(clock_);
    PackWriter pack = *PackWriter::create(space_, PackKind::map, id, pack_name(id), 1);
    refs.push_back({.pack = id, .location = *pack.append(sample_content(500, i), {})});
    ASSERT_EQ(code_of(pack.commit()), "ok");
  }
  ChunkReader reader(space_);
  Bytes into(500);
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < packs; ++i) {
      ASSERT_EQ(message_of(reader.read(refs[i], into)), "ok");
      EXPECT_EQ(into, sample_content(500, i));
    }
  }
}

}  // namespace
}  // namespace pgstrata
