// Branches whose disk is full, and branches of a repository that is damaged.
#include <sys/statvfs.h>

#include "e2e/fault_test.h"
#include "e2e/small_disk.h"
#include "support/commit_ledger.h"

namespace pgstrata::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BranchFaultsTest : public FaultTest {
 protected:
  void SetUp() override {
    if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "SKIPPED: branches need /dev/fuse";
    if (run_program({"/bin/sh", "-c", "exec 3<>/dev/fuse"}).exit_code != 0)
      GTEST_SKIP() << "SKIPPED: the server's user may not use /dev/fuse";
    state_ = state_folder_.make("state");
  }
  void TearDown() override {
    for (const auto& name : branches_) {
      static_cast<void>(branch("delete", {name}));
      static_cast<void>(run_program({"/bin/fusermount3", "-uz", (home(name) / "fs").string()}));
    }
  }

  ProgramRun branch(const std::string& verb, std::vector<std::string> arguments) const {
    Environment variables = environment();
    variables["PGSTRATA_STATE_DIR"] = state_.string();
    arguments.insert(arguments.begin(), {"branch", verb, "app"});
    return run_pgstrata(std::move(arguments), variables);
  }
  void create(const std::string& name) {
    branches_.push_back(name);
    const ProgramRun run = branch("create", {name});
    ASSERT_EQ(run.exit_code, 0) << run.describe();
  }
  [[nodiscard]] std::string url(const std::string& name) const {
    std::string words = branch("url", {name}).out;
    while (!words.empty() && words.back() == '\n') words.pop_back();
    return words;
  }
  [[nodiscard]] std::string value(const std::string& name, const std::string& sql) const {
    return SqlConnection(url(name)).value(sql);
  }
  // The SQLSTATE it fails with; empty when it does not.
  [[nodiscard]] std::string failure(const std::string& name, const std::string& sql) const {
    try {
      SqlConnection(url(name)).run(sql);
    } catch (const SqlError& error) {
      last_words_ = error.what();
      return error.connection_lost && error.sqlstate.empty() ? "lost" : error.sqlstate;
    }
    return "";
  }
  [[nodiscard]] std::filesystem::path home(const std::string& name) const {
    return state_ / "branches/app" / name;
  }
  [[nodiscard]] std::string mount_log(const std::string& name) const {
    return read_text(home(name) / "mount.log");
  }

  TemporaryDirectory state_folder_;
  std::filesystem::path state_;
  std::vector<std::string> branches_;
  mutable std::string last_words_;
};

constexpr const char* sum_of_table = "SELECT sum(hashtext(t::text)) FROM t";

// --- a full disk ---

TEST_F(BranchFaultsTest, OneWhoseDiskIsFullComesBackWithAllItsCommits) {
  const SmallDisk disk(state_folder_.make("disk"), 150);
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED: this user may not mount a tmpfs; run as root";
  state_ = disk.folder();
  PostgresServer server;
  protect(server);
  server.query("CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 1000) n");
  ok({"backup", "app"});
  const std::string sum = server.query_value(sum_of_table);
  ASSERT_NO_FATAL_FAILURE(create("full"));
  ASSERT_NO_FATAL_FAILURE(create("other"));
  EXPECT_EQ(value("other", sum_of_table), sum) << "what a first connection writes is there, too";
  CommitLedger ledger({.conninfo = url("full")});
  ledger.start();
  ledger.wait_for_commits(100);
  const auto state = failure("full",
                             "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 30) AS x FROM "
                             "generate_series(1, 1000000) n");
  // What comes first may be a new segment of WAL, or a page that is written back: PANIC, as on any full disk.
  EXPECT_THAT(state, AnyOf("53100", "lost", "57P02")) << last_words_;
  EXPECT_THAT(mount_log("full") + read_text(home("full") / "postgres.log"), HasSubstr("No space left"));
  EXPECT_EQ(value("other", sum_of_table), sum) << "another branch on the same disk";
  ledger.stop();
  const auto acknowledged = ledger.acknowledged_count();

  disk.resize(700);
  const ProgramRun started = branch("start", {"full"});
  ASSERT_EQ(started.exit_code, 0) << started.describe() << read_text(home("full") / "postgres.log");
  // It may have found the room by itself meanwhile, and still recover.
  wait_until("it to be open", [&] { return failure("full", "SELECT 1").empty(); });
  EXPECT_THAT(ledger.check_all(url("full")), IsEmpty()) << acknowledged;
  EXPECT_EQ(value("full", sum_of_table), sum);
  EXPECT_EQ(failure("full", "CREATE TABLE after AS SELECT * FROM generate_series(1, 100000)"), "")
      << last_words_;
  EXPECT_EQ(failure("full", "CHECKPOINT"), "") << last_words_;
  TearDown();  // before the disk goes
  branches_.clear();
}

// --- a damaged repository ---

class BranchOfDamageTest : public BranchFaultsTest {
 protected:
  // The table fills most of its pack.
  void make_source() {
    protect(server_);
    server_.query("CREATE TABLE small AS SELECT n FROM generate_series(1, 1000) n");
    server_.query(
        "CREATE TABLE t AS SELECT n, (SELECT string_agg(md5(n::text || k::text), '') FROM "
        "generate_series(1, 30) k) AS x FROM generate_series(1, 30000) n");
    server_.query("VACUUM FREEZE");
    ok({"backup", "app"});
  }
  [[nodiscard]] std::vector<std::filesystem::path> packs() const {
    std::vector<std::filesystem::path> found;
    for (const auto& file : std::filesystem::directory_iterator(repository() / "clusters/app/packs"))
      found.push_back(file.path());
    std::ranges::sort(found, std::greater{},
                      [](const auto& path) { return std::filesystem::file_size(path); });
    return found;
  }
  static void flip(const std::filesystem::path& file, std::uintmax_t offset) {
    std::fstream open(file, std::ios::in | std::ios::out | std::ios::binary);
    open.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(open.get() ^ 0x10);
    open.seekp(static_cast<std::streamoff>(offset));
    open.put(byte);
  }

  PostgresServer server_;
};

TEST_F(BranchOfDamageTest, AReadOfADamagedPageFailsAndIsNamed) {
  ASSERT_NO_FATAL_FAILURE(make_source());
  const auto pack = packs().front();
  flip(pack, std::filesystem::file_size(pack) / 2);
  ASSERT_NO_FATAL_FAILURE(create("hurt"));
  EXPECT_EQ(failure("hurt", sum_of_table), "58030") << last_words_;
  EXPECT_THAT(last_words_, HasSubstr("Input/output error"));
  EXPECT_THAT(mount_log("hurt"), HasSubstr(pack.filename().string()));
  EXPECT_EQ(value("hurt", "SELECT sum(n) FROM small"), "500500") << "the rest can be read";
  EXPECT_EQ(failure("hurt", sum_of_table), "58030") << "again";
}

TEST_F(BranchOfDamageTest, APackThatIsMissingIsNoMissingFile) {
  ASSERT_NO_FATAL_FAILURE(make_source());
  const auto pack = packs().front();
  ASSERT_NO_FATAL_FAILURE(create("hurt"));
  EXPECT_EQ(value("hurt", "SELECT sum(n) FROM small"), "500500") << "what a connection needs is cached now";
  std::filesystem::rename(pack, path("kept"));
  EXPECT_NE(failure("hurt", sum_of_table), "");
  EXPECT_THAT(last_words_, HasSubstr("Input/output error"));
  EXPECT_THAT(mount_log("hurt"), HasSubstr(pack.filename().string()));
  std::filesystem::rename(path("kept"), pack);
  EXPECT_EQ(value("hurt", sum_of_table), server_.query_value(sum_of_table)) << "and heals";
}

TEST_F(BranchOfDamageTest, OneThatNeedsADamagedPageIsNotMadeAndItIsNamed) {
  ASSERT_NO_FATAL_FAILURE(make_source());
  // But for the smallest, which has the snapshot's tree: the server is what meets it.
  auto hurt = packs();
  hurt.pop_back();
  for (const auto& pack : hurt) {
    for (std::uintmax_t at = 1000; at < std::filesystem::file_size(pack); at += 1000) flip(pack, at);
  }
  branches_.push_back("hurt");
  const ProgramRun run = branch("create", {"hurt"});
  EXPECT_EQ(run.exit_code, 5) << run.describe();
  bool named = false;
  for (const auto& pack : packs())
    named = named || run.err.find(pack.filename().string()) != std::string::npos;
  EXPECT_TRUE(named) << run.describe();
  EXPECT_FALSE(std::filesystem::exists(home("hurt")));
}

}  // namespace
}  // namespace pgstrata::testing
