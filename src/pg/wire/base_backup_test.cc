// Base backups in both forms of the protocol.
#include <map>

#include <gmock/gmock.h>

#include "pg/wire/sql_connection.h"
#include "pg/wire/wire_test_support.h"
#include "support/cuttable_link.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

struct Received {
  BaseBackupStart start;
  std::map<std::uint32_t, std::string> archives;  // by tablespace
  std::vector<std::uint32_t> order;
  std::string manifest;
  std::uint64_t progress_bytes = 0;
  BackupEnd end;
};

Received receive_backup(ReplicationConnection& connection) {
  Received got;
  got.start = must(connection.start_base_backup({.label = "it's a test"}));
  bool in_manifest = false;
  for (;;) {
    const auto event = must(connection.next_base_backup_event());
    if (const auto* archive = std::get_if<ArchiveStart>(&event)) {
      EXPECT_FALSE(in_manifest);
      got.order.push_back(archive->tablespace.value);
    } else if (const auto* data = std::get_if<ArchiveData>(&event)) {
      got.archives[got.order.back()] += as_text(data->bytes);
    } else if (std::holds_alternative<ManifestStart>(event)) {
      in_manifest = true;
    } else if (const auto* manifest = std::get_if<ManifestData>(&event)) {
      EXPECT_TRUE(in_manifest);
      got.manifest += as_text(manifest->bytes);
    } else if (const auto* progress = std::get_if<BackupProgress>(&event)) {
      got.progress_bytes = progress->bytes;
    } else {
      got.end = std::get<BackupEnd>(event);
      return got;
    }
  }
}

Result<void> read_to_end(ReplicationConnection& connection) {
  for (;;) {
    PGS_TRY(const auto event, connection.next_base_backup_event());
    if (std::holds_alternative<BackupEnd>(event)) return {};
  }
}

struct TarSummary {
  std::vector<std::string> names;
  bool terminated = false;  // by two zero blocks
};

TarSummary walk_tar(const std::string& tar) {
  constexpr std::size_t block = 512;
  TarSummary summary;
  EXPECT_EQ(tar.size() % block, 0U);
  for (std::size_t at = 0; at + block <= tar.size();) {
    if (tar[at] == '\0') {
      summary.terminated = tar.substr(at) == std::string(2 * block, '\0');
      break;
    }
    summary.names.emplace_back(tar.c_str() + at);
    const std::size_t size = std::stoul(tar.substr(at + 124, 11), nullptr, 8);
    at += block + (size + block - 1) / block * block;
  }
  return summary;
}

class BaseBackup : public ::testing::TestWithParam<int> {};

TEST_P(BaseBackup, ArrivesWhole) {
  const testing::TemporaryDirectory elsewhere;
  auto& server = shared_server(GetParam());
  const auto location = elsewhere.make("space").string();
  server.query("create tablespace aside location '" + location + "'");
  server.query(
      "create table big tablespace aside as select g, repeat('x', 100) from generate_series(1, 20000) g");
  const auto oid = std::stoul(server.query_value("select oid from pg_tablespace where spcname = 'aside'"));

  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  const auto got = receive_backup(connection);

  ASSERT_EQ(got.start.tablespaces.size(), 2U);
  for (const auto& tablespace : got.start.tablespaces) {
    EXPECT_EQ(tablespace.location, tablespace.oid.valid() ? location : "");
    // A tar archive holds at least the content of the files.
    EXPECT_GT(tablespace.size_estimate_bytes, 1'000'000U);
    EXPECT_GE(got.archives.at(tablespace.oid.value).size(), tablespace.size_estimate_bytes / 2);
  }
  // The data directory has its backup_label first and its control file last; both forms end as they say.
  const std::string& main = got.archives.at(0);
  EXPECT_NE(main.find("LABEL: it's a test"), std::string::npos);
  const TarSummary tar = walk_tar(main);
  EXPECT_EQ(tar.names.front(), "backup_label");
  EXPECT_THAT(tar.names, ::testing::Contains("pg_tblspc/" + std::to_string(oid) + "/"));
  EXPECT_THAT(tar.names, ::testing::Not(::testing::Contains("tablespace_map")));
  EXPECT_EQ(tar.names.back(), "global/pg_control");
  EXPECT_EQ(tar.terminated, GetParam() >= 15);
  EXPECT_EQ(got.order, (std::vector<std::uint32_t>{static_cast<std::uint32_t>(oid), 0}));

  EXPECT_NE(got.manifest.find("\"PostgreSQL-Backup-Manifest-Version\""), std::string::npos);
  EXPECT_NE(got.manifest.find("CRC32C"), std::string::npos);
  EXPECT_EQ(got.manifest.back(), '\n');
  EXPECT_EQ(got.progress_bytes > 0, GetParam() >= 15);
  EXPECT_GT(got.end.stop_lsn, got.start.start_lsn);
  EXPECT_EQ(got.end.timeline, got.start.timeline);
  EXPECT_EQ(got.start.timeline, TimelineId{1});

  // The connection takes commands, and another backup.
  EXPECT_EQ(must(connection.show("data_checksums")), "on");
  EXPECT_GE(receive_backup(connection).start.start_lsn, got.end.stop_lsn);
  server.query("drop table big");
  server.query("drop tablespace aside");
}

TEST_P(BaseBackup, CancellationEndsItAndFreesTheServer) {
  auto& server = shared_server(GetParam());
  Cancellation cancellation;
  {
    auto connection = connect_to(server, cancellation);
    must(connection.start_base_backup({}));
    must(connection.next_base_backup_event());
    cancellation.request();
    Error error = must_fail(read_to_end(connection));
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
  testing::wait_until("the walsender to end",
                      [&] { return server.query_value("select count(*) from pg_stat_replication") == "0"; });
}

TEST_P(BaseBackup, ACutConnectionIsUnavailable) {
  auto& server = shared_server(GetParam());
  testing::CuttableLink link(server.port());
  const Cancellation cancellation;
  auto connection = must(ReplicationConnection::connect(
      url_of(server.url()).with("port", std::to_string(link.port())), {}, cancellation));
  must(connection.start_base_backup({}));
  link.cut();
  const Error error = must_fail(read_to_end(connection));
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
}

INSTANTIATE_TEST_SUITE_P(Majors, BaseBackup, ::testing::ValuesIn(testing::available_majors()));

TEST(BaseBackupErrors, OneThatItsServerEndsIsWorthAnotherTry) {
  auto& server = shared_server(15);
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.start_base_backup({}));
  server.query("select pg_terminate_backend(pid) from pg_stat_replication");
  const Error error = must_fail(read_to_end(connection));
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
}

}  // namespace
}  // namespace pgstrata
