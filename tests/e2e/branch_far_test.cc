// Branches of a repository that is far away: what one has read, no other reads again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "e2e/small_disk.h"
#include "support/slow_mount.h"
#include "sys/files.h"

namespace pgstrata::testing {
namespace {

constexpr auto each_read = std::chrono::milliseconds(2);

class BranchFarTest : public BranchedRowsTest {
 protected:
  // Some 15 MiB of rows, of which a tenth is in the WAL alone: sealed segments and a tail.
  void protect_some() {
    protect_rows(1);
    source_.query(
        "CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) word FROM generate_series(1, 100000) "
        "n");
    source_.query("CREATE INDEX ON big (word)");
    wait_until_durable(source_);
    backup();
    source_.query("UPDATE big SET word = md5(word) WHERE n % 10 = 0");
    source_.query("SELECT pg_switch_wal()");
    add_rows(1000);
    far_ = std::make_unique<SlowMount>(repository(), directory().make("far"), each_read);
  }
  // A disk of its own, of which enough is free.
  void keep_on_disk(int size_mib) {
    static_cast<void>(directory().make("state"));
    disk_ = std::make_unique<SmallDisk>(directory().make("state/cache"), size_mib);
  }

  TestedBranch far_branch(const std::string& name) { return branch(name, {"--repo", far_->path().string()}); }
  // Makes a branch, looks at all of it, and takes it away: what was read of the repository.
  SlowMount::Reads reads_of_a_branch(const std::string& name) {
    static_cast<void>(far_->take_reads());
    const auto there = far_branch(name);
    EXPECT_EQ(digest_of_all(there.place()), digest_of_all(server_place(source_)));
    EXPECT_EQ(there.value("SELECT count(*) FROM big WHERE word > ''"), "100000");
    warnings_ = read_text(there.home() / "mount.log");
    const auto reads = far_->take_reads();
    EXPECT_EQ(run_branch("delete", {name}).exit_code, 0);
    return reads;
  }
  [[nodiscard]] std::vector<std::filesystem::path> kept_files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path("state") / "cache")) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    return files;
  }

  std::unique_ptr<SlowMount> far_;
  std::unique_ptr<SmallDisk> disk_;
  std::string warnings_;
};

TEST_F(BranchFarTest, WhatOneHasReadNoOtherReadsAgain) {
  keep_on_disk(512);
  protect_some();
  const auto before = repository_digest();
  const auto first = reads_of_a_branch("first");
  EXPECT_GT(first.bytes, 5U << 20);
  EXPECT_FALSE(kept_files().empty());
  const auto second = reads_of_a_branch("second");
  EXPECT_LT(second.bytes, first.bytes / 20);
  EXPECT_LT(second.count, first.count / 2);
  EXPECT_EQ(repository_digest(), before);
}

TEST_F(BranchFarTest, WhatIsKeptWrongIsReadAgain) {
  keep_on_disk(512);
  protect_some();
  const auto first = reads_of_a_branch("first");
  for (const auto& file : kept_files()) {
    auto content = read_file(file).value();
    for (std::size_t at = 30; at < content.size(); at += 1000) content[at] ^= std::byte{1};
    ASSERT_TRUE(write_file(file, content));
  }
  const auto second = reads_of_a_branch("second");
  EXPECT_GT(second.bytes, first.bytes / 2);
  EXPECT_LT(reads_of_a_branch("third").bytes, first.bytes / 20);
}

TEST_F(BranchFarTest, ADiskThatGetsFullCostsNothingButTime) {
  keep_on_disk(4);
  NEEDS_DISK(disk_);
  protect_some();
  static_cast<void>(reads_of_a_branch("first"));
  EXPECT_FALSE(kept_files().empty());
  EXPECT_GT(free_space_bytes(disk_->folder()).value(), 0U);
  EXPECT_THAT(warnings_, ::testing::HasSubstr("is not kept in"));
  static_cast<void>(reads_of_a_branch("second"));
}

TEST_F(BranchFarTest, ItMayBeRemovedWhileABranchRuns) {
  keep_on_disk(512);
  protect_some();
  const auto there = far_branch("try");
  for (const auto& entry : std::filesystem::directory_iterator(path("state") / "cache"))
    std::filesystem::remove_all(entry.path());
  EXPECT_EQ(digest_of_all(there.place()), digest_of_all(server_place(source_)));
  EXPECT_FALSE(kept_files().empty());
}

TEST_F(BranchFarTest, ARollKeepsWhatItReadsInTheSamePlace) {
  keep_on_disk(512);
  protect_some();
  source_.query("CHECKPOINT");
  wait_until_durable(source_);
  const auto rolled = json_of({"backup", "app", "--repo", far_->path().string()}).at("snapshot");
  EXPECT_EQ(rolled.at("kind"), "rolled");
  EXPECT_FALSE(kept_files().empty());
  EXPECT_FALSE(std::filesystem::exists(path("state") / "rolls" / "cache"));
  EXPECT_EQ(digest_of_all(far_branch("try").place()), digest_of_all(server_place(source_)));
}

TEST_F(BranchFarTest, OfANearRepositoryNothingIsKept) {
  protect_rows();
  EXPECT_EQ(branch("try").value(count), "1000");
  EXPECT_FALSE(std::filesystem::exists(path("state") / "cache"));
}

}  // namespace
}  // namespace pgstrata::testing
