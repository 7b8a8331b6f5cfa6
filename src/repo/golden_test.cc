// Objects as version 1 wrote them must open for ever. testdata/version1 is a whole repository, laid out as a
// store lists it, testdata/rotating1 one whose key was being rotated. The key file holds the 32 characters "A" to "Z" and "A" to "F".
#include <filesystem>
#include <fstream>

#include "repo/lease_content.h"
#include "repo/pack.h"
#include "repo/record.h"
#include "repo/sealed_journal.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

class GoldenTest : public testing::Test {
 protected:
  void SetUp() override { fill("version1"); }
  void fill(const std::string& sample) {
    const std::filesystem::path root =
        std::filesystem::path(PGSTRATA_SOURCE_DIR "/src/repo/testdata") / sample;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string content(std::istreambuf_iterator<char>(file), {});
      ASSERT_TRUE(
          store_.put(entry.path().lexically_relative(root).string(), as_byte_view(content)).has_value());
    }
  }
  ClusterSpace cluster() {
    repository_ = std::make_unique<Repository>(*Repository::open(borrow(store_), key_file_));
    return *repository_->open_cluster("app");
  }

  MemoryStore store_;
  const KeySource key_file_ = KeyFile{.secret = to_bytes("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF")};
  std::unique_ptr<Repository> repository_;
};

TEST_F(GoldenTest, RepositoryOpensByEachOfItsKeys) {
  for (const KeySource& source : {key_file_, KeySource(Passphrase{.text = "correct horse battery staple"})}) {
    const auto repository = Repository::open(borrow(store_), source);
    ASSERT_EQ(message_of(repository), "ok");
    EXPECT_EQ(repository->id().bytes[0], std::byte{0xf0});
    EXPECT_TRUE(repository->encrypted());
    EXPECT_THAT(*repository->clusters(), testing::ElementsAre("app"));
    EXPECT_EQ(message_of(repository->open_cluster("app")), "ok");
  }
}

TEST_F(GoldenTest, RecordOpens) {
  const auto record = get_record(cluster(), "cluster", RecordKind::cluster);
  ASSERT_EQ(message_of(record), "ok");
  EXPECT_EQ(as_text(*record), "a golden record");
}

TEST_F(GoldenTest, PackOpens) {
  const PackId id = *parse_pack_id("019f0a0b0c0d000102030405060708ff");
  auto pack = PackReader::open(cluster(), pack_name(id), PackKind::data);
  ASSERT_EQ(message_of(pack), "ok");
  ASSERT_EQ(pack->directory().size(), 2U);
  EXPECT_EQ(pack->directory()[0].location, (ChunkLocation{.offset = 28, .stored_size = 37}));
  EXPECT_EQ(pack->directory()[1].location, (ChunkLocation{.offset = 65, .stored_size = 23}));
  EXPECT_EQ(pack->directory()[1].tag[15], std::byte{2});
  std::vector<std::string> contents;
  const auto done = pack->read_all([&](const PackDirectoryEntry&, ByteView content) -> Result<void> {
    contents.emplace_back(as_text(content));
    return {};
  });
  ASSERT_EQ(message_of(done), "ok");
  EXPECT_THAT(contents, testing::ElementsAre(std::string(100, 'z'), "raw"));
}

TEST_F(GoldenTest, JournalOpens) {
  std::vector<std::string> frames;
  const auto done = read_journal(cluster(), "wal/tail", [&](ByteView frame) -> Result<void> {
    frames.emplace_back(as_text(frame));
    return {};
  });
  ASSERT_EQ(message_of(done), "ok");
  EXPECT_THAT(frames, testing::ElementsAre("first frame", "second frame"));
}

TEST_F(GoldenTest, LeaseOpens) {
  const auto holder = lease_holder(cluster(), "stream");
  ASSERT_EQ(message_of(holder), "ok");
  ASSERT_TRUE(holder->has_value());
  EXPECT_EQ((*holder)->purpose, "stream");
  EXPECT_EQ((*holder)->process.pid, 4711);
  EXPECT_EQ((*holder)->process.host_name, "db1");
}

class GoldenRotationTest : public GoldenTest {
 protected:
  void SetUp() override { fill("rotating1"); }
};

TEST_F(GoldenRotationTest, OpensAndIsFinished) {
  auto repository = Repository::open(borrow(store_), key_file_);
  ASSERT_EQ(message_of(repository), "ok");
  EXPECT_TRUE(*repository->key_rotation_unfinished());
  const auto expect_records = [&] {
    for (const auto& [name, content] :
         {std::pair("app", "a golden record"), {"web", "of the other cluster"}}) {
      const auto space = repository->open_cluster(name);
      ASSERT_EQ(message_of(space), "ok");
      EXPECT_EQ(as_text(*get_record(*space, "cluster", RecordKind::cluster)), content);
    }
  };
  expect_records();
  const HeldClock clock;
  const auto finished = repository->rotate_key({}, {}, clock);
  ASSERT_EQ(message_of(finished), "ok");
  EXPECT_TRUE(finished->resumed);
  EXPECT_EQ(finished->slot.id, "0d905d84");
  EXPECT_EQ(finished->clusters, 1U);
  expect_records();
}

TEST_F(GoldenTest, AnOldRepositoryIsRotated) {
  auto repository = Repository::open(borrow(store_), key_file_);
  const HeldClock clock;
  EXPECT_EQ(code_of(repository->rotate_key({}, {}, clock)), "usage");
  ASSERT_EQ(message_of(repository->rotate_key({}, {.drop_other_slots = true}, clock)), "ok");
  EXPECT_EQ(as_text(*get_record(cluster(), "cluster", RecordKind::cluster)), "a golden record");
}

}  // namespace
}  // namespace pgstrata
