#include "restore/recovery_settings.h"

#include <gmock/gmock.h>

#include "restore/restore_test_support.h"
#include "restore/start_restored.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::must;
using ::testing::Not;

RecoveryPlan plan_for(std::optional<TargetPoint> stop) {
  RecoveryPlan plan;
  plan.timeline = TimelineId{3};
  plan.stop = std::move(stop);
  return plan;
}
std::string block_for(std::optional<TargetPoint> stop) {
  return must(recovery_settings_block(plan_for(std::move(stop)),
                                      {.program = "/usr/bin/pgstrata", .operator_settings = {}}));
}

TEST(RecoverySettings, SayTheTargetInPostgresWords) {
  EXPECT_THAT(block_for(TimeTarget{must(parse_rfc3339("2026-11-21T10:00:00.25Z"))}),
              HasSubstr("recovery_target_time = '2026-11-21 10:00:00.25+00'\n"));
  EXPECT_THAT(block_for(LsnTarget{Lsn{0x16B374D848}}), HasSubstr("recovery_target_lsn = '16/B374D848'\n"));
  EXPECT_THAT(block_for(XidTarget{Xid{733}}), HasSubstr("recovery_target_xid = '733'\n"));
  EXPECT_THAT(block_for(RestorePointTarget{"it's \\ here"}),
              HasSubstr("recovery_target_name = 'it''s \\\\ here'\n"));
  const auto all = block_for({});
  EXPECT_THAT(all, HasSubstr("recovery_target_timeline = '3'\n"));
  EXPECT_THAT(all,
              HasSubstr("# ALTER SYSTEM RESET synchronous_standby_names\nsynchronous_standby_names = ''\n"));
  EXPECT_THAT(
      all,
      HasSubstr("restore_command = '\"/usr/bin/pgstrata\" wal-fetch --kit pg_wal/pgstrata/kit %f \"%p\"'\n"));
  EXPECT_THAT(all, Not(HasSubstr("recovery_target_action")));
}

// The server raises an error on a second kind of target, were it only to say that there is none.
TEST(RecoverySettings, OtherKindsOfTargetAreUnsetBeforeTheOneThatHolds) {
  const auto block = block_for(XidTarget{Xid{733}});
  const auto target = block.find("recovery_target_xid = '733'\n");
  for (const auto* name : {"", "_time", "_lsn", "_name"})
    EXPECT_LT(block.find(fmt::format("\nrecovery_target{} = ''\n", name)), target) << name;
  EXPECT_THAT(block, Not(HasSubstr("recovery_target_xid = ''")));
  EXPECT_THAT(block_for({}), HasSubstr("\nrecovery_target_xid = ''\n"));
  EXPECT_THAT(block, HasSubstr("\narchive_cleanup_command = ''\nrecovery_end_command = ''\n"
                               "recovery_min_apply_delay = '0'\n"));
}

TEST(RecoverySettings, AnOddProgramPathIsQuotedForShellAndServer) {
  const auto block = must(recovery_settings_block(
      plan_for({}), {.program = "/opt/it's 100% $HOME/pgstrata", .operator_settings = {}}));
  EXPECT_THAT(block, HasSubstr("restore_command = '\"/opt/it''s 100%% \\\\$HOME/pgstrata\" wal-fetch"));
}

TEST(RecoverySettings, OperatorSettingsAreCheckedAndComeLast) {
  const RecoverySettings good{"/p", {{"shared_buffers", "1GB"}, {"my.value", "a'b"}}};
  const auto block = must(recovery_settings_block(plan_for({}), good));
  EXPECT_THAT(block, HasSubstr("shared_buffers = '1GB'\nmy.value = 'a''b'\n# ---"));
  for (const auto& [name, value] : {std::pair{"bad name", "1"}, {"", "1"}, {"port", "1\ninclude = x"}}) {
    EXPECT_EQ(code_of(recovery_settings_block(plan_for({}), {"/p", {{name, value}}})), "usage") << name;
  }
}

TEST(RecoverySettings, WhereRecoveryEndsIsNotForTheOperatorsSettings) {
  for (const char* name :
       {"recovery_target_time", "Recovery_Target_Xid", "recovery_target_timeline",
        "recovery_target_inclusive", "recovery_target", "restore_command", "include_dir"}) {
    EXPECT_EQ(code_of(recovery_settings_block(plan_for({}), {"/p", {{name, "x"}}})), "usage") << name;
  }
  for (const char* name : {"recovery_target_action", "recovery_end_command", "hot_standby"})
    EXPECT_EQ(code_of(recovery_settings_block(plan_for({}), {"/p", {{name, "x"}}})), "ok") << name;
}

TEST(RecoverySettings, NoHotStandbyWhileItRecoversUnlessTheOperatorNeedsIt) {
  EXPECT_THAT(block_for({}), HasSubstr("\nhot_standby = 'off'"));
  for (const auto& [name, value] : {std::pair{"Hot_Standby", "off"}, {"recovery_target_action", "Pause"}}) {
    EXPECT_THAT(must(recovery_settings_block(plan_for({}), {"/p", {{name, value}}})),
                Not(HasSubstr("\nhot_standby = 'off'")))
        << name;
  }
}

TEST(RecoverySettings, WhatHappensAtTheTargetIsKnown) {
  EXPECT_EQ(action_at_target({}), AtTarget::promote);
  EXPECT_EQ(action_at_target({{"Recovery_Target_Action", "Shutdown"}}), AtTarget::shutdown);
  EXPECT_EQ(action_at_target({{"recovery_target_action", "pause"}, {"hot_standby", "on"}}), AtTarget::pause);
  EXPECT_EQ(action_at_target({{"recovery_target_action", "shutdown"}, {"recovery_target_action", "promote"}}),
            AtTarget::promote)
      << "the last one holds";
  for (const auto* off : {"off", "OF", "no", "f", "0"}) {
    EXPECT_EQ(action_at_target({{"hot_standby", off}, {"recovery_target_action", "pause"}}),
              AtTarget::shutdown)
        << off;
  }
}

TEST(RecoverySettings, TheOperatorsSynchronousStandbysAreLeftAlone) {
  const auto block =
      must(recovery_settings_block(plan_for({}), {"/p", {{"synchronous_standby_names", "b"}}}));
  EXPECT_THAT(block, HasSubstr("synchronous_standby_names = 'b'\n"));
  EXPECT_THAT(block, Not(HasSubstr("synchronous_standby_names = ''")));
}

TEST(RecoverySettings, OlderOnesGoAndTheRestStays) {
  const std::string old =
      "# Do not edit\nwork_mem = '8MB'\nhot_standby = 'on'\n  Recovery_Target_Time='x'\nrestore_command = "
      "'cp'\n#restore_command "
      "= 'y'\n"
      "synchronous_standby_names = '*'\n" +
      block_for({}) + "port = 5433";
  EXPECT_EQ(without_recovery_settings(old),
            "# Do not edit\nwork_mem = '8MB'\nhot_standby = 'on'\n#restore_command = 'y'\nport = 5433\n");
}

class SettingsFiles : public ::testing::Test {
 protected:
  TargetDirectory open() {
    return must(TargetDirectory::open(folder_.path(), must(choose_owner(folder_.path()))));
  }
  std::string text(const char* name) { return std::string(as_text(must(read_file(folder_.path() / name)))); }
  TemporaryDirectory folder_ = must(TemporaryDirectory::create("pgstrata-settings-test-"));
};

TEST_F(SettingsFiles, AreWrittenAndTheirRecoveryPartEndsWithRecovery) {
  ASSERT_TRUE(write_file(folder_.path() / "standby.signal", {}));
  ASSERT_TRUE(write_file(folder_.path() / "postgresql.auto.conf", as_byte_view("work_mem = '8MB'\n")));
  const RecoverySettings settings{"/usr/bin/pgstrata", {{"shared_buffers", "1GB"}}};
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(write_recovery_settings(open(), plan_for(XidTarget{Xid{5}}), settings));
  }
  EXPECT_TRUE(fs::exists(folder_.path() / "recovery.signal"));
  EXPECT_FALSE(fs::exists(folder_.path() / "standby.signal"));
  EXPECT_EQ(text("postgresql.auto.conf"),
            "work_mem = '8MB'\n" + must(recovery_settings_block(plan_for(XidTarget{Xid{5}}), settings)));
  ASSERT_TRUE(end_recovery_settings(open()));
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("restore_command")));
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("recovery_")));
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("archive_cleanup_command")));
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("hot_standby")));
  EXPECT_THAT(text("postgresql.auto.conf"), HasSubstr("synchronous_standby_names = ''"));
  EXPECT_THAT(text("postgresql.auto.conf"), HasSubstr("shared_buffers = '1GB'"));
}

// As far as they are in the directory, the files that postgresql.conf includes count too; the last word
// holds.
TEST_F(SettingsFiles, PlacesElsewhereAreWarnedOf) {
  const auto put = [&](const char* name, std::string_view content) {
    ASSERT_TRUE(write_file(folder_.path() / name, as_byte_view(content)));
  };
  const auto warnings = [&](std::vector<std::pair<std::string, std::string>> operator_settings = {}) {
    return must(write_recovery_settings(open(), plan_for({}), {"/p", std::move(operator_settings)}));
  };
  fs::create_directories(folder_.path() / "conf.d");
  put("postgresql.conf", "port = 1\n#data_directory = '/a'\ninclude_dir 'conf.d'\n");
  put("conf.d/1.conf",
      "Data_Directory '/srv/it''s' # there\nINCLUDE = '../other'\ninclude = '/etc/passwd'\n");
  put("conf.d/.2.conf", "ident_file = '/c'\n");
  put("other", "external_pid_file=/run/x.pid\nhba_file=/d\ninclude other\n");
  for (int time = 0; time < 2; ++time) {
    const auto said = warnings();
    ASSERT_EQ(said.size(), 2U);
    EXPECT_THAT(said[0], HasSubstr("says data_directory = \"/srv/it's\""));
    EXPECT_THAT(said[1], HasSubstr("says hba_file = \"/d\""));
    EXPECT_THAT(text("postgresql.auto.conf"), HasSubstr("\nexternal_pid_file = ''\n")) << "also again";
  }
  EXPECT_EQ(warnings({{"hba_file", folder_.path() / "pg_hba.conf"}}).size(), 1U);
  EXPECT_THAT(warnings({{"external_pid_file", "/e"}}), ::testing::SizeIs(2));
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("external_pid_file = ''")));
  put("postgresql.conf", fmt::format("data_directory = '{}/'\n", folder_.path().native()));
  EXPECT_TRUE(warnings().empty());
  EXPECT_THAT(text("postgresql.auto.conf"), Not(HasSubstr("external_pid_file")));
}

TEST_F(SettingsFiles, MissingConfigurationIsWrittenWithTheLimitsThatRecoveryDemands) {
  ASSERT_TRUE(write_file(folder_.path() / "pg_hba.conf", as_byte_view("mine")));
  ControlFile control;
  control.max_connections = 321;
  EXPECT_EQ(must(write_missing_configuration(open(), control)),
            (std::vector<std::string>{"postgresql.conf", "pg_ident.conf"}));
  EXPECT_THAT(text("postgresql.conf"), HasSubstr("max_connections = 321\n"));
  EXPECT_EQ(text("pg_hba.conf"), "mine");
}

TEST_F(SettingsFiles, TheNewestHistorySaysWhereRecoveryEnded) {
  const auto wal = folder_.path() / "pg_wal";
  fs::create_directories(wal);
  EXPECT_EQ(code_of(newest_timeline_start(folder_.path())), "not_found");
  ASSERT_TRUE(write_file(wal / "00000002.history", as_byte_view("1\t0/1000\tx\n")));
  ASSERT_TRUE(write_file(wal / "00000003.history", as_byte_view("1\t0/1000\tx\n2\t0/5000\tbefore 2026\n")));
  const auto start = must(newest_timeline_start(folder_.path()));
  EXPECT_EQ(start.timeline, TimelineId{3});
  EXPECT_EQ(start.start, Lsn{0x5000});
  RecoveryPlan plan;
  plan.expected_end_lsn = Lsn{0x5018};
  EXPECT_TRUE(ended_as_planned(plan, Lsn{0x5018}));
  EXPECT_TRUE(ended_as_planned(plan, Lsn{0x5000})) << "before a page header";
  EXPECT_FALSE(ended_as_planned(plan, Lsn{0x4FE8}));
  EXPECT_FALSE(ended_as_planned(plan, Lsn{0x5020}));
}

}  // namespace
}  // namespace pgstrata
