// A real server's directory and WAL, restored and started at many targets, against a ledger of its commits.
#include "restore/start_restored.h"

#include <fstream>

#include <sys/stat.h>

#include "pg/format/backup_label.h"
#include "pg/format/backup_manifest.h"
#include "restore/restore_cluster.h"
#include "restore/restore_test_support.h"
#include "support/postgres_server.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::must;

constexpr std::uint32_t wal_bytes = 1U << 20;
constexpr auto limit = std::chrono::seconds(120);

struct Commit {
  int number = 0;
  Xid xid;
  Timestamp time;
  Lsn after;  // the WAL's insert position once it was acknowledged
};

// A cluster with a base backup and, after it, commits 1 to 40: a row each, and a restore point after the
// 20th.
class Source {
 public:
  Source() {
    server_.start();
    server_.query("CREATE TABLE ledger(number int PRIMARY KEY, filler text)");
    take_backup();
    for (int number = 1; number <= 40; ++number) {
      const auto xid = server_.query_value(fmt::format(
          "INSERT INTO ledger SELECT {}, string_agg(md5(i::text), '') FROM generate_series(1, 3000) i "
          "RETURNING pg_current_xact_id()::text",
          number));
      commits.push_back(
          {number, Xid{static_cast<std::uint32_t>(std::stoul(xid))}, commit_time(xid), position()});
      if (number == 20) server_.query("SELECT pg_create_restore_point('half way')");
    }
    end = position();
    server_.query("SELECT pg_switch_wal()");
    quiet_until =
        must(parse_rfc3339(server_.query_value("SELECT to_char(now() AT TIME ZONE 'UTC', "
                                               "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")));
    store_wal();
    server_.stop();
    EXPECT_TRUE(put_snapshot(space, snapshot));
  }

  Result<RecoveryPlan> plan(TargetPoint point, bool inclusive = true) {
    ClusterRecord record;
    record.system_identifier = snapshot.system_identifier;
    record.wal_segment_bytes = wal_bytes;
    return plan_recovery(space, record, {.point = std::move(point), .inclusive = inclusive, .timeline = {}},
                         Cancellation());
  }

  MemoryStore store;
  Repository repository = must(Repository::create(borrow(store), NoEncryption{}, system_clock()));
  ClusterSpace space = must(repository.create_cluster("app"));
  SnapshotRecord snapshot;
  std::vector<Commit> commits;
  Lsn end;
  Timestamp quiet_until;

 private:
  struct IgnoreFiles final : ManifestHandler {
    Result<void> file(const ManifestFile&) override { return {}; }
  };

  Lsn position() { return must(parse_lsn(server_.query_value("SELECT pg_current_wal_insert_lsn()::text"))); }
  Timestamp commit_time(const std::string& xid) {
    const auto text = server_.query_value(fmt::format(
        "SELECT (extract(epoch FROM pg_xact_commit_timestamp('{}'::xid)) * 1000000)::bigint::text", xid));
    return {std::stoll(text)};
  }

  void take_backup() {
    const auto folder = server_.socket_directory() / "backup";
    const auto command = fmt::format("{} -h {} -p {} -U postgres -D {} -X none -c fast 2>/dev/null",
                                     server_.binaries().program("pg_basebackup"),
                                     server_.socket_directory().native(), server_.port(), folder.native());
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    const auto label = must(parse_backup_label(as_text(must(read_file(folder / "backup_label")))));
    IgnoreFiles ignore;
    const auto manifest =
        must(parse_backup_manifest(as_text(must(read_file(folder / "backup_manifest"))), ignore));
    const auto control = must(parse_control_file(must(read_file(folder / "global/pg_control"))));
    snapshot.id = "20261121-100000-0001";
    snapshot.system_identifier = control.system_identifier;
    snapshot.server_version = 150000;
    snapshot.wal_segment_bytes = wal_bytes;
    snapshot.timeline = label.timeline;
    snapshot.start_lsn = label.start;
    snapshot.consistent_lsn = manifest.wal_ranges.back().end;
    snapshot.consistent_time = must(parse_rfc3339(server_.query_value(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")));
    snapshot.extent_bytes = extent_bytes;
    testing::SnapshotFiles files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      auto path = entry.path().lexically_relative(folder).native();
      if (path == "backup_manifest") continue;
      if (entry.is_directory()) files[path + "/"];
      if (entry.is_regular_file()) files[path] = must(read_file(entry.path()));
    }
    testing::FilesOfASnapshot(space).write(files, snapshot);
  }

  // Every segment from the backup's start to the switch.
  void store_wal() {
    const Lsn first{snapshot.start_lsn.value - snapshot.start_lsn.value % wal_bytes};
    auto reader = must(WalRecordReader::create(
        {.start = first, .segment_size_bytes = wal_bytes, .major_version = 0, .system_identifier = {}}));
    WalIndexBuilder builder(first);
    Timestamp latest;
    for (Lsn at = first; at < end; at += wal_bytes) {
      const auto name = wal_segment_name({TimelineId{1}, wal_segment_of(at, wal_bytes)}, wal_bytes);
      const auto bytes = must(read_file(server_.data_directory() / "pg_wal" / name));
      ASSERT_TRUE(reader.feed(bytes, builder));
      auto index = builder.seal_segment(at + wal_bytes);
      latest = std::max(latest, index.last_end_time);
      auto writer = must(WalSegmentWriter::create(space, TimelineId{1}, at, wal_bytes, system_clock(), 1));
      ASSERT_TRUE(writer.append(bytes));
      ASSERT_TRUE(
          writer.commit({snapshot.system_identifier, TimelineId{1}, at, at + wal_bytes, latest, index}));
    }
  }

  testing::PostgresServer server_{{.major = 15, .wal_segment_mib = 1, .settings = {"wal_keep_size = 1GB"}}};
};

Source& source() {
  static Source shared;
  return shared;
}

class StartRestoredTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { source(); }

  std::vector<std::pair<std::string, std::string>> settings() {
    return {{"unix_socket_directories", folder_.path()},
            {"port", std::to_string(port_.port())},
            {"listen_addresses", ""}};
  }

  // Restores, starts, and gives the numbers that the ledger then holds.
  std::vector<int> restored(const RecoveryPlan& plan) {
    const auto data = folder_.path() / fmt::format("data{}", ++restores_);
    RestoreClusterOptions options;
    options.files.data_directory = data;
    options.kit = {.repository = "memory", .materialise_all = true};
    options.settings = {program(), {{"fsync", "off"}}};
    RestoreProgress last;
    options.files.on_progress = [&](const RestoreProgress& progress) { last = progress; };
    must(restore_cluster(source().space, plan, options, never_));
    EXPECT_EQ(last.bytes_total, plan.snapshot.total_bytes + plan.segments.size() * wal_bytes);
    EXPECT_EQ(last.bytes_done, last.bytes_total);
    before_start_(data);
    auto started = must(start_restored(
        plan, must(installation_for(plan, data)),
        {.data_directory = data, .settings = settings(), .limit = limit, .on_progress = {}}, never_));
    EXPECT_EQ(started.timeline, TimelineId{2});
    EXPECT_FALSE(fs::exists(data / kit_folder));
    testing::SqlConnection connection(started.url->text());
    std::vector<int> numbers;
    for (const auto& row : connection.run("SELECT number FROM ledger ORDER BY number"))
      numbers.push_back(std::stoi(*row[0]));
    connection.run("INSERT INTO ledger VALUES (1000, 'writable')");
    auto server = must(ServerInstance::attach(data));
    EXPECT_TRUE(server.stop(StopMode::immediate, limit));
    return numbers;
  }

  // Takes from the spool what `pgstrata wal-fetch` would: this room has no program.
  fs::path program() {
    const auto script = folder_.write(fmt::format("fetch{}", restores_),
                                      "#!/bin/sh\n# wal-fetch --kit KIT NAME DESTINATION\n"
                                      "exec cp \"$(dirname \"$3\")/spool/$4\" \"$5\" 2>/dev/null\n");
    fs::permissions(script, fs::perms::owner_all);
    return script;
  }

  static std::vector<int> up_to(int last) {
    std::vector<int> numbers;
    for (int number = 1; number <= last; ++number) numbers.push_back(number);
    return numbers;
  }

  testing::TemporaryDirectory folder_;
  testing::PortReservation port_;
  int restores_ = 0;
  std::function<void(const fs::path& data)> before_start_ = [](const fs::path&) {};
  const Cancellation never_;
};

TEST_F(StartRestoredTest, EachKindOfTargetBringsBackExactlyItsCommits) {
  const auto& commits = source().commits;
  EXPECT_EQ(restored(must(source().plan(LatestTarget{}))), up_to(40));
  EXPECT_EQ(restored(must(source().plan(TimeTarget{commits[9].time}))), up_to(10));
  EXPECT_EQ(restored(must(source().plan(TimeTarget{commits[9].time}, false))), up_to(9));
  EXPECT_EQ(restored(must(source().plan(XidTarget{commits[14].xid}))), up_to(15));
  EXPECT_EQ(restored(must(source().plan(XidTarget{commits[14].xid}, false))), up_to(14));
  EXPECT_EQ(restored(must(source().plan(LsnTarget{commits[24].after}, false))), up_to(25));
  EXPECT_EQ(restored(must(source().plan(RestorePointTarget{"half way"}))), up_to(20));
}

// Who owns the directory may have put anything there by the time that root starts the server.
TEST_F(StartRestoredTest, TheLogIsTheServersAndNoLinkLeadsItElsewhere) {
  const auto victim = folder_.write("victim", "precious\n");
  fs::path log;
  before_start_ = [&](const fs::path& data) {
    log = data / "pgstrata_restore.log";
    fs::create_symlink(victim, log);
  };
  restored(must(source().plan(LatestTarget{})));
  EXPECT_EQ(testing::read_text(victim), "precious\n");
  EXPECT_THAT(testing::read_text(log), HasSubstr("archive recovery complete"));
  before_start_ = [&](const fs::path& data) {
    log = data / "pgstrata_restore.log";
    fs::create_hard_link(victim, log);
  };
  restored(must(source().plan(LatestTarget{})));
  EXPECT_EQ(testing::read_text(victim), "precious\n");
  struct stat log_info {};
  struct stat data_info {};
  ASSERT_EQ(::lstat(log.c_str(), &log_info), 0);
  ASSERT_EQ(::stat(log.parent_path().c_str(), &data_info), 0);
  EXPECT_TRUE(S_ISREG(log_info.st_mode));
  EXPECT_EQ(log_info.st_uid, data_info.st_uid);
  EXPECT_EQ(log_info.st_mode & 0777U, 0600U);
}

// PostgreSQL runs the command when recovery has ended, and before it opens.
TEST_F(StartRestoredTest, AServerThatIsOpenIsLeftRunningWhateverCannotBeCleanedUp) {
  const auto start_after = [&](const fs::path& data, const char* command) {
    const auto plan = must(source().plan(LatestTarget{}));
    RestoreClusterOptions options;
    options.files.data_directory = data;
    options.kit = {.repository = "memory", .materialise_all = true};
    ++restores_;
    options.settings = {program(), {{"fsync", "off"}, {"recovery_end_command", command}}};
    must(restore_cluster(source().space, plan, options, never_));
    return start_restored(plan, must(installation_for(plan, data)),
                          {.data_directory = data, .settings = settings(), .limit = limit, .on_progress = {}},
                          never_);
  };
  const auto open = folder_.path() / "open";
  const auto started = must(start_after(open, "rm postgresql.auto.conf; mkdir postgresql.auto.conf"));
  ASSERT_EQ(started.warnings.size(), 1U);
  EXPECT_THAT(started.warnings[0], HasSubstr("postgresql.auto.conf"));
  EXPECT_THAT(started.warnings[0], HasSubstr("ALTER SYSTEM RESET"));
  testing::SqlConnection(started.url->text()).run("INSERT INTO ledger VALUES (1000, 'writable')");
  EXPECT_TRUE(must(ServerInstance::attach(open)).stop(StopMode::immediate, limit));

  const auto unknown = start_after(folder_.path() / "unknown", "rm pg_wal/*.history");
  EXPECT_THAT(message_of(unknown), HasSubstr("cannot be told where recovery ended"));
  EXPECT_THAT(message_of(unknown), HasSubstr("the server was stopped"));
  EXPECT_EQ(code_of(ServerInstance::attach(folder_.path() / "unknown")), "not_found");
}

TEST_F(StartRestoredTest, TheLastCommitAndTheQuietAfterItAreTheEndOfTheWal) {
  const auto& last = source().commits.back();
  const auto plan = must(source().plan(TimeTarget{last.time}));
  EXPECT_FALSE(plan.stop.has_value());
  EXPECT_EQ(restored(plan), up_to(40));
  EXPECT_EQ(restored(must(source().plan(TimeTarget{last.time}, false))), up_to(39));
}

TEST_F(StartRestoredTest, ATargetThatRecoveryDoesNotReachIsAnErrorAndTheServerStaysClosed) {
  auto plan = must(source().plan(TimeTarget{source().commits[9].time}));
  plan.end_lsn = source().commits[4].after;  // as if the WAL ended before the target
  const auto data = folder_.path() / "short";
  RestoreClusterOptions options;
  options.files.data_directory = data;
  options.kit = {.repository = "memory", .materialise_all = true};
  options.settings = {program(), {}};
  must(restore_cluster(source().space, plan, options, never_));
  const auto started = start_restored(
      plan, must(installation_for(plan, data)),
      {.data_directory = data, .settings = settings(), .limit = limit, .on_progress = {}}, never_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code(), ErrorCode::outside_coverage) << started.error().describe();
  EXPECT_THAT(started.error().message(),
              HasSubstr("recovery ended before configured recovery target was reached"));
  EXPECT_EQ(code_of(ServerInstance::attach(data)), "not_found");
}

}  // namespace
}  // namespace pgstrata
