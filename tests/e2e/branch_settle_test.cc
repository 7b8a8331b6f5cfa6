// What recovery wrote in a branch, and what was written there long ago, takes a fraction of its room.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "e2e/branch_fixture.h"
#include "e2e/page_checksums.h"
#include "support/wait_until.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t mib = 1U << 20;

class BranchSettleTest : public BranchTest {
 protected:
  // Some 40 MiB, of which the WAL behind the backup changes a row in each page.
  void protect_wide_rows() {
    source_.start();
    protect(source_);
    source_.query(
        "CREATE TABLE wide WITH (fillfactor = 90, autovacuum_enabled = off) AS "
        "SELECT n, 0 AS changed, repeat(md5(n::text), 10) AS text FROM generate_series(1, 100000) n");
    source_.query("CREATE INDEX ON wide (n)");
    backup();
    source_.query("UPDATE wide SET changed = 1 WHERE n % 20 = 0");
    wait_until_durable(source_);
  }
  static std::uint64_t room_of(const TestedBranch& branch) {
    std::uint64_t bytes = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(branch.home() / "overlay")) {
      const auto info = stat_file(file.path());
      if (info && info->kind == FileType::regular) bytes += info->allocated_bytes;
    }
    return bytes;
  }

  PostgresServer source_;
};

TEST_F(BranchSettleTest, TakesLittleRoomAndIsTheSame) {
  protect_wide_rows();
  const auto there = branch("try");
  EXPECT_EQ(there.value("SELECT count(*) FROM wide WHERE changed = 1"), "5000");
  there.query("CHECKPOINT");
  EXPECT_GE(room_of(there), 30 * mib) << "recovery wrote each page";
  there.query("UPDATE wide SET changed = 2 WHERE n % 500 = 0");
  there.query("DELETE FROM wide WHERE n > 95000");
  there.query("VACUUM wide");
  there.query("CHECKPOINT");
  const auto written = digest_of_all(there.place());
  wait_until("what was written has settled", [&] { return room_of(there) < 4 * mib; });
  EXPECT_EQ(digest_of_all(there.place()), written);

  there.kill9_postmaster();
  there.kill9_mount_process();
  const auto again = moved("start", "try");
  EXPECT_EQ(digest_of_all(again.place()), written);
  EXPECT_THAT(amcheck_problems(again.place()), IsEmpty());

  const auto sockets = directory().make("sock");
  const auto result = branch_json(
      "promote", "try", {"--to", path("native"), "--set", "unix_socket_directories=" + sockets.string()});
  LeftRunningServer server(path("native"), sockets.string(), result.at("port").get<int>(),
                           result.at("process_id").get<pid_t>());
  EXPECT_EQ(digest_of_all(server_place(server)), written);
  EXPECT_THAT(amcheck_problems(server_place(server)), IsEmpty());
  server.stop();
  EXPECT_THAT(check_page_checksums(path("native")).wrong, IsEmpty());
}

}  // namespace
}  // namespace pgstrata::testing
