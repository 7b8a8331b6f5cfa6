#include "restore/restore_files.h"

#include <fstream>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "restore/restore_cluster.h"
#include "restore/restore_test_support.h"
#include "support/no_sight_of_others.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::must;
using testing::noise;
using testing::SampleCluster;
using testing::SnapshotFiles;

class RestoreFilesTest : public ::testing::Test {
 protected:
  RestoreFilesTest() : files_(testing::data_directory_files()) {
    const auto& record = testing::sample_records().all.front();
    snapshot_ = cluster_.snapshot(record, record, files_);
  }

  Result<RestoredFiles> restore(bool delta = false) { return restore(snapshot_, delta); }
  Result<RestoredFiles> restore(const SnapshotRecord& snapshot, bool delta) {
    RestoreFilesOptions options;
    options.data_directory = target_;
    options.delta = delta;
    options.workers = 2;
    options.tablespace_mappings = mappings_;
    return restore_files(*cluster_.space, snapshot, options, cancellation_);
  }

  void write(const std::string& path, ByteView content) {
    fs::create_directories((target_ / path).parent_path());
    ASSERT_TRUE(write_file(target_ / path, content));
  }
  static void flip(const fs::path& path, std::uint64_t offset) {
    auto content = must(read_file(path));
    content[offset] ^= std::byte{1};
    ASSERT_TRUE(write_file(path, content));
  }

  // The folder holds the snapshot's files, byte by byte, and nothing else.
  void expect_restored() { expect_restored(files_, target_); }
  static void expect_restored(const SnapshotFiles& files, const fs::path& folder) {
    for (const auto& [path, content] : files) {
      if (path.ends_with('/')) {
        EXPECT_TRUE(fs::is_directory(folder / path)) << path;
        continue;
      }
      const auto there = read_file(folder / path);
      ASSERT_TRUE(there) << path;
      EXPECT_TRUE(*there == content) << path;
      EXPECT_EQ(must(stat_file(folder / path)).permissions, 0600U) << path;
    }
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      auto name = entry.path().lexically_relative(folder).native();
      if (entry.is_directory()) name += '/';
      EXPECT_TRUE(files.contains(name)) << "left over: " << name;
    }
  }
  [[nodiscard]] bool startable() const { return fs::exists(target_ / "global/pg_control"); }
  [[nodiscard]] bool marked() const { return fs::exists(target_ / unfinished_marker); }

  SampleCluster cluster_;
  SnapshotFiles files_;
  SnapshotRecord snapshot_;
  TemporaryDirectory folder_ = must(TemporaryDirectory::create("pgstrata-restore-test-"));
  fs::path target_ = folder_.path() / "data";
  std::vector<TablespaceMapping> mappings_;
  Cancellation cancellation_;
};

TEST_F(RestoreFilesTest, RestoresIntoAFolderThatDoesNotExist) {
  const auto restored = must(restore());
  expect_restored();
  EXPECT_EQ(restored.files, snapshot_.files);
  EXPECT_EQ(restored.reused_bytes, 0U);
  EXPECT_EQ(restored.zero_bytes, 19U * extent_bytes);
  EXPECT_EQ(must(stat_file(target_)).permissions, 0700U);
  EXPECT_LT(must(stat_file(target_ / "base/5/16390")).allocated_bytes, 2U * extent_bytes)
      << "zeros are holes";
}

TEST_F(RestoreFilesTest, RestoresIntoAnEmptyFolder) {
  fs::create_directories(target_);
  must(restore());
  expect_restored();
}

TEST_F(RestoreFilesTest, RefusesAFolderThatHoldsSomething) {
  write("precious", as_byte_view("data"));
  const auto restored = restore();
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().code(), ErrorCode::already_exists);
  EXPECT_THAT(restored.error().hint(), HasSubstr("--delta"));
  EXPECT_EQ(code_of(restore(true)), "usage") << "no data directory";
  EXPECT_TRUE(fs::exists(target_ / "precious"));
}

TEST_F(RestoreFilesTest, DeltaRefusesAnotherCluster) {
  must(restore());
  auto other = snapshot_;
  other.system_identifier = {1};
  const auto restored = restore(other, true);
  EXPECT_EQ(code_of(restored), "usage");
  EXPECT_THAT(message_of(restored), HasSubstr("another cluster"));
  EXPECT_TRUE(startable());
}

TEST_F(RestoreFilesTest, DeltaWritesOnlyWhatDiffers) {
  must(restore());
  flip(target_ / "base/5/16384", extent_bytes + 7);
  const auto restored = must(restore(true));
  expect_restored();
  EXPECT_EQ(restored.written_bytes, extent_bytes + files_["global/pg_control"].size());
  EXPECT_GT(restored.reused_bytes, 3U * extent_bytes);
}

class RestoreDifferencesTest : public RestoreFilesTest {
 protected:
  RestoreDifferencesTest() {
    const auto& record = testing::sample_records().all.front();
    changed_ = cluster_.snapshot(record, record, changed_files_, {}, TimelineId{1}, &snapshot_);
    differences_ = testing::packs_of_differences(*cluster_.space, changed_);
  }

  SnapshotFiles changed_files_ = testing::changed_data_directory_files();
  SnapshotRecord changed_;
  std::map<PackId, std::set<std::string>> differences_;
};

TEST_F(RestoreDifferencesTest, AppliesThemToWhatWasStoredWhole) {
  ASSERT_EQ(differences_.size(), 1U);
  EXPECT_THAT(differences_.begin()->second,
              ::testing::ElementsAre("base/5/1259", "base/5/16384", "base/5/16390", "global/pg_control"));
  const auto restored = must(restore(changed_, false));
  expect_restored(changed_files_, target_);
  EXPECT_EQ(restored.written_bytes + restored.zero_bytes, restored.total_bytes);
  EXPECT_EQ(must(read_control_file(*cluster_.space, changed_)).system_identifier,
            must(parse_control_file(changed_files_["global/pg_control"])).system_identifier);
}

TEST_F(RestoreDifferencesTest, DeltaGoesThereAndBackAndWritesOnlyWhatDiffers) {
  must(restore());
  const auto there = must(restore(changed_, true));
  expect_restored(changed_files_, target_);
  const auto control_bytes = files_["global/pg_control"].size();
  EXPECT_EQ(there.written_bytes, changed_files_["base/5/1259"].size() + 3U * extent_bytes + control_bytes);
  EXPECT_EQ(must(restore(changed_, true)).written_bytes, control_bytes) << "nothing differs";
  must(restore(snapshot_, true));
  expect_restored();
}

TEST_F(RestoreDifferencesTest, DeltaCaresNotWhatTheFilesHeld) {
  must(restore(changed_, false));
  flip(target_ / "base/5/1259", 30'000);  // beyond what was stored whole
  flip(target_ / "base/5/16384", 1);
  fs::resize_file(target_ / "base/5/16390", 6 * extent_bytes - 1);
  flip(target_ / "base/5/16390", 5 * extent_bytes + 100'000);
  must(restore(changed_, true));
  expect_restored(changed_files_, target_);
}

TEST_F(RestoreDifferencesTest, NamesThePackOfADifferenceThatIsDamagedOrGone) {
  const auto id = differences_.begin()->first;
  const auto name = cluster_.space->object_name(pack_name(id));
  auto content = must(cluster_.store.get(name));
  for (std::size_t at = 28; at < 200; ++at) content[at] ^= std::byte{1};
  overwrite(cluster_.store, name, content);
  const auto damaged = restore(changed_, false);
  EXPECT_EQ(code_of(damaged), "damaged");
  EXPECT_THAT(message_of(damaged), HasSubstr(to_string(id)));
  EXPECT_TRUE(marked());
  EXPECT_FALSE(startable());
  ASSERT_TRUE(cluster_.store.remove(name));
  const auto gone = restore(changed_, true);
  EXPECT_EQ(code_of(gone), "damaged");
  EXPECT_THAT(message_of(gone), HasSubstr(to_string(id)));
  must(restore(snapshot_, true));
  expect_restored();
}

TEST_F(RestoreFilesTest, DeltaUndoesAllThatMayHaveHappened) {
  must(restore());
  flip(target_ / "base/5/16390", 3 * extent_bytes);   // zeros no more
  fs::resize_file(target_ / "base/5/16384", 100);     // cut
  fs::resize_file(target_ / "base/5/1259", 999'999);  // grown
  fs::permissions(target_ / "PG_VERSION", fs::perms::all);
  fs::remove(target_ / "base/5/empty");
  fs::remove_all(target_ / "pg_wal/archive_status");
  write("base/5/99999", as_byte_view("new relation"));
  write("base/7/1", as_byte_view("new database"));
  write("pg_wal/000000010000000000000001", Bytes(4096));
  write("recovery.signal", {});
  must(restore(true));
  expect_restored();
}

TEST_F(RestoreFilesTest, DeltaFollowsNoLinkAndChangesNoSecondName) {
  must(restore());
  const auto outside = folder_.path() / "outside";
  fs::create_directories(outside / "5");
  for (const auto* name : {"16384", "1259"})
    ASSERT_TRUE(write_file(outside / "5" / name, as_byte_view("mine")));
  fs::remove(target_ / "base/5/16384");
  fs::create_symlink(outside / "5/16384", target_ / "base/5/16384");
  fs::remove(target_ / "base/5/1259");
  fs::create_hard_link(outside / "5/1259", target_ / "base/5/1259");
  fs::rename(target_ / "pg_wal", folder_.path() / "wal");
  fs::create_directory_symlink(folder_.path() / "wal", target_ / "pg_wal");
  must(restore(true));
  expect_restored();
  for (const auto* name : {"16384", "1259"})
    EXPECT_EQ(as_text(must(read_file(outside / "5" / name))), "mine");
  EXPECT_FALSE(fs::is_symlink(target_ / "pg_wal"));
}

// A snapshot of a server that said so: `restore` by root would write there.
TEST_F(RestoreFilesTest, ATablespaceIsNoWayToWriteAnythingAnywhere) {
  const auto& record = testing::sample_records().all.front();
  const auto victim = folder_.path() / "victim";
  auto files = files_;
  files["pg_tblspc/16999/"];
  files["pg_tblspc/16999/authorized_keys"] = noise(100, 9);
  const auto foreign =
      restore(cluster_.snapshot(record, record, files, {{Oid{16999}, victim.native()}}), false);
  EXPECT_EQ(code_of(foreign), "failed");
  EXPECT_THAT(message_of(foreign), HasSubstr("\"authorized_keys\" in tablespace 16999"));
  EXPECT_FALSE(fs::exists(victim));
  EXPECT_FALSE(fs::exists(target_));

  for (const std::string location : {"relative/../../x", "/srv/../x", "/srv/\x1b[31m"}) {
    const auto nowhere = restore(cluster_.snapshot(record, record, files_, {{Oid{16999}, location}}), false);
    EXPECT_EQ(code_of(nowhere), "failed") << location;
    EXPECT_THAT(message_of(nowhere), HasSubstr("tablespace 16999")) << location;
    EXPECT_FALSE(fs::exists(target_));
  }
}

TEST_F(RestoreFilesTest, SaysWhereItWritesBesideTheDataDirectory) {
  struct Heard final : LogSink {
    Heard() { set_log_sink(this); }
    ~Heard() override { set_log_sink(nullptr); }
    void write(Severity severity, std::string_view message) override {
      said += fmt::format("{} {}\n", severity == Severity::warning ? "warning:" : "info:", message);
    }
    std::string said;
  };
  const auto source = (folder_.path() / "source").native();
  const auto mapped = (folder_.path() / "mapped").native();
  const auto& record = testing::sample_records().all.front();
  const auto snapshot = cluster_.snapshot(record, record, files_, {{Oid{16400}, source}});
  Heard kept;
  must(restore(snapshot, false));
  EXPECT_EQ(kept.said, fmt::format("warning: tablespace 16400 is written to \"{}\", its place on the source; "
                                   "--tablespace puts it elsewhere\n",
                                   source));
  target_ = folder_.path() / "other";
  mappings_ = {{source, mapped}};
  Heard moved;
  must(restore(snapshot, false));
  EXPECT_EQ(moved.said, fmt::format("info: tablespace 16400 is written to \"{}\"\n", mapped));
}

TEST_F(RestoreFilesTest, TablespacesGoWhereTheyAreMapped) {
  const auto source = (folder_.path() / "source").native();
  const auto mapped = folder_.path() / "mapped";
  auto files = files_;
  files["pg_tblspc/16400/"];
  files["pg_tblspc/16400/PG_15_202209061/"];
  files["pg_tblspc/16400/PG_15_202209061/5/"];
  files["pg_tblspc/16400/PG_15_202209061/5/16401"] = noise(50'000, 9);
  const auto& record = testing::sample_records().all.front();
  const auto snapshot = cluster_.snapshot(record, record, files, {{Oid{16400}, source}});

  mappings_ = {{"/not/there", mapped.native()}};
  const auto unknown = restore(snapshot, false);
  EXPECT_EQ(code_of(unknown), "usage");
  EXPECT_THAT(unknown.error().hint(), HasSubstr(source));
  mappings_ = {{source, (target_ / "inside").native()}};
  EXPECT_EQ(code_of(restore(snapshot, false)), "usage");

  mappings_ = {{source + "/", mapped.native()}};
  must(restore(snapshot, false));
  EXPECT_EQ(fs::read_symlink(target_ / "pg_tblspc/16400"), mapped);
  EXPECT_TRUE(must(read_file(mapped / "PG_15_202209061/5/16401")) ==
              files["pg_tblspc/16400/PG_15_202209061/5/16401"]);
  EXPECT_FALSE(fs::exists(mapped / unfinished_marker));
  EXPECT_FALSE(fs::exists(source));

  flip(mapped / "PG_15_202209061/5/16401", 40'000);
  ASSERT_TRUE(write_file(mapped / "PG_15_202209061/5/16999", as_byte_view("new")));
  // Beside the snapshot's: another major's part of the same tablespace, as pg_upgrade leaves it.
  const auto of_another = mapped / "PG_14_202107181/5/16401";
  fs::create_directories(of_another.parent_path());
  ASSERT_TRUE(write_file(of_another, as_byte_view("another cluster's")));
  must(restore(snapshot, true));
  EXPECT_TRUE(fs::exists(of_another));
  EXPECT_TRUE(must(read_file(mapped / "PG_15_202209061/5/16401")) ==
              files["pg_tblspc/16400/PG_15_202209061/5/16401"]);
  EXPECT_FALSE(fs::exists(mapped / "PG_15_202209061/5/16999"));

  // The original place holds something that is not ours.
  fs::create_directories(source);
  ASSERT_TRUE(write_file(fs::path(source) / "file", as_byte_view("x")));
  mappings_.clear();
  const auto taken = restore(snapshot, true);
  EXPECT_EQ(code_of(taken), "already_exists");
  EXPECT_THAT(taken.error().hint(), HasSubstr("--tablespace " + source + "="));

  // A refusal leaves nothing: neither the folder, nor those above it that were missing.
  target_ = folder_.path() / "not" / "there" / "yet";
  const auto refused = restore(snapshot, false);
  EXPECT_EQ(code_of(refused), "already_exists");
  EXPECT_THAT(message_of(refused), HasSubstr("the place of tablespace 16400"));
  EXPECT_FALSE(fs::exists(folder_.path() / "not"));
}

TEST_F(RestoreFilesTest, ALinkLeadsNowhereThatItsTargetMayNot) {
  const auto cluster = folder_.path() / "cluster";
  const auto repository = folder_.path() / "kept";
  fs::create_directories(cluster / "base");
  ASSERT_TRUE(write_file(cluster / "PG_VERSION", as_byte_view("15\n")));
  fs::create_directories(repository / "keys");
  fs::create_directories(repository / "clusters");
  ASSERT_TRUE(write_file(repository / "repository", as_byte_view("{}\n")));
  const auto link = folder_.path() / "link";
  const auto refused = [&](const fs::path& to, const std::string& why) {
    fs::remove(link);
    fs::create_directory_symlink(to, link);
    target_ = link / "data";
    const auto restored = restore();
    EXPECT_EQ(code_of(restored), "usage");
    EXPECT_THAT(message_of(restored), HasSubstr(why));
    EXPECT_FALSE(fs::exists(target_));
  };
  refused(cluster / "base", "lies within the data directory");
  refused(repository / "clusters", "lies within the repository");
  refused(repository, "lies within the repository");
  const auto branches = folder_.path() / "state/rolls/branches/app";
  fs::create_directories(branches / "roll-1");
  ASSERT_TRUE(write_file(branches / ".lock", {}));
  refused(branches, "lies within the folder of branches");
  refused(branches / "roll-1", "lies within the folder of branches");
  target_ = repository;
  EXPECT_THAT(message_of(restore()), HasSubstr("is a repository"));

  target_ = folder_.path() / "data";
  const std::string source = "/srv/source space";
  snapshot_.tablespaces = {{Oid{16400}, source}};
  fs::remove(link);
  fs::create_directory_symlink(cluster / "base", link);
  mappings_ = {{source, (link / "space").native()}};
  EXPECT_THAT(message_of(restore()), HasSubstr("lies within the data directory"));
  fs::create_directories(target_);
  fs::remove(link);
  fs::create_directory_symlink(target_, link);
  EXPECT_THAT(message_of(restore()), HasSubstr("lies within"));
  EXPECT_TRUE(fs::is_empty(target_));
}

TEST_F(RestoreFilesTest, ADamagedPackLeavesNothingStartableAndARepeatGoesOn) {
  const auto packs = must(cluster_.space->list("packs/"));
  const auto largest = std::ranges::max_element(packs, {}, &ObjectInfo::size_bytes);
  const auto name = cluster_.space->object_name(largest->name);
  const auto whole = must(cluster_.store.get(name));
  auto damaged = whole;
  damaged[damaged.size() / 2] ^= std::byte{1};
  overwrite(cluster_.store, name, damaged);
  const auto failed = restore();
  EXPECT_EQ(code_of(failed), "damaged");
  EXPECT_FALSE(startable());
  EXPECT_TRUE(marked());
  overwrite(cluster_.store, name, whole);
  must(restore());
  expect_restored();
}

TEST_F(RestoreFilesTest, AnotherClustersUnfinishedRestoreIsLeftAlone) {
  auto other = snapshot_;
  other.system_identifier = {1};
  write(std::string(unfinished_marker), write_marker(other, Oid{}));
  EXPECT_EQ(code_of(restore()), "usage");
  EXPECT_EQ(code_of(restore(true)), "usage");
}

TEST_F(RestoreFilesTest, CancellationLeavesNothingStartable) {
  cancellation_.request();
  EXPECT_EQ(code_of(restore()), "cancelled");
  EXPECT_FALSE(startable());
  EXPECT_TRUE(marked());
}

// Ends the process as kill -9 would, at the first, second … batch, and once before anything is durable.
TEST_F(RestoreFilesTest, KilledAtAnyStepItCannotBeStartedAndGoesOn) {
  for (const bool over_existing : {false, true}) {
    for (int kill_at = 0; kill_at <= 3; ++kill_at) {
      SCOPED_TRACE(fmt::format("over existing {}, step {}", over_existing, kill_at));
      fs::remove_all(target_);
      if (over_existing) {
        must(restore());
        flip(target_ / "base/5/16384", 0);
      }
      const pid_t child = ::fork();
      if (child == 0) {
        int steps = 0;
        RestoreFilesOptions options;
        options.data_directory = target_;
        options.delta = over_existing;
        options.workers = 1;
        options.on_progress = [&](const RestoreProgress&) {
          if (++steps == kill_at) ::_exit(9);
        };
        options.before_durable = [](const TargetDirectory&) -> Result<void> { ::_exit(9); };
        (void)restore_files(*cluster_.space, snapshot_, options, cancellation_);
        ::_exit(1);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_EQ(WEXITSTATUS(status), 9);
      EXPECT_FALSE(startable());
      EXPECT_TRUE(marked());
      must(restore());
      expect_restored();
    }
  }
}

TEST_F(RestoreFilesTest, ADiskThatIsTooSmallIsToldBeforeAnythingIsWritten) {
  fs::create_directories(target_);
  if (::mount("tmpfs", target_.c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "needs the right to mount";
  const auto restored = restore();
  const bool wrote = !fs::is_empty(target_);
  ::umount(target_.c_str());
  EXPECT_EQ(code_of(restored), "no_space");
  EXPECT_THAT(message_of(restored), HasSubstr("MiB"));
  EXPECT_FALSE(wrote);
}

TEST_F(RestoreFilesTest, ZerosTakeNoSpaceWhenItIsCounted) {
  fs::create_directories(target_);
  if (::mount("tmpfs", target_.c_str(), "tmpfs", 0, "size=1500k") != 0)
    GTEST_SKIP() << "needs the right to mount";
  const auto restored = restore();  // 3 MiB with its zeros
  ::umount(target_.c_str());
  EXPECT_EQ(message_of(restored), "ok");
}

TEST_F(RestoreFilesTest, ADiskThatFillsUpIsToldAndTheMarkerStays) {
  fs::create_directories(target_);
  if (::mount("tmpfs", target_.c_str(), "tmpfs", 0, "size=1500k") != 0)
    GTEST_SKIP() << "needs the right to mount";
  RestoreFilesOptions options;
  options.data_directory = target_;
  options.before_durable = [](const TargetDirectory& data) -> Result<void> {
    return data.write("base/5/more", Bytes(2U << 20));
  };
  const auto restored = restore_files(*cluster_.space, snapshot_, options, cancellation_);
  const bool still_marked = marked();
  const bool could_start = startable();
  ::umount(target_.c_str());
  EXPECT_EQ(code_of(restored), "no_space");
  EXPECT_TRUE(still_marked);
  EXPECT_FALSE(could_start);
}

TEST_F(RestoreFilesTest, WhatIsWrittenBesideTheSnapshotNeedsRoomToo) {
  RestoreFilesOptions options;
  options.data_directory = target_;
  options.further_bytes = std::uint64_t{1} << 50;
  EXPECT_EQ(code_of(restore_files(*cluster_.space, snapshot_, options, cancellation_)), "no_space");
  EXPECT_FALSE(fs::exists(target_));
}

TEST_F(RestoreFilesTest, RemovingWhatIsNotTheSnapshotsCanBeStopped) {
  must(restore());
  write("base/5/left over", as_byte_view("x"));
  cancellation_.request();
  EXPECT_EQ(code_of(restore(true)), "cancelled");
  EXPECT_TRUE(fs::exists(target_ / "base/5/left over"));
}

TEST_F(RestoreFilesTest, TwoRestoresAtOnceIsOneTooMany) {
  fs::create_directories(target_);
  const auto held = must(TargetDirectory::open(target_, must(choose_owner(target_))));
  EXPECT_EQ(code_of(restore()), "busy");
}

TEST_F(RestoreFilesTest, AServerThatMayNotBeLookedAtIsNotOverwritten) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to start a process of another user";
  must(restore());
  const auto server = must(ChildProcess::spawn({.arguments = {"sleep", "1000"}, .user = "postgres"}));
  ASSERT_TRUE(write_file(target_ / "postmaster.pid", as_byte_view(fmt::format("{}\n", server.pid()))));
  const testing::NoSightOfOthers blind;
  const auto refused = restore(true);
  ASSERT_EQ(code_of(refused), "busy");
  EXPECT_THAT(refused.error().hint(), HasSubstr("remove postmaster.pid"));
  EXPECT_TRUE(startable());
  EXPECT_FALSE(marked());
  fs::remove(target_ / "postmaster.pid");
  must(restore(true));
}

TEST_F(RestoreFilesTest, RootLeavesTheServersUserAWayIn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  target_ = folder_.path() / "a/b/data";
  snapshot_.tablespaces = {{Oid{16400}, (folder_.path() / "space/of/its own").native()}};
  const auto umask_before = ::umask(0077);
  const auto restored = restore();
  ::umask(umask_before);
  must(restored);
  const auto permissions = [&](const char* name) {
    return must(stat_file(folder_.path() / name)).permissions;
  };
  for (const auto* parent : {"a", "a/b", "space", "space/of"})
    EXPECT_EQ(permissions(parent), 0755U) << parent;
  EXPECT_EQ(permissions("a/b/data"), 0700U);
  EXPECT_EQ(permissions("space/of/its own"), 0700U);
}

TEST_F(RestoreFilesTest, RootGivesTheFilesToPostgres) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto owner = must(choose_owner(target_));
  if (!owner.change) GTEST_SKIP() << "needs a user postgres";
  EXPECT_EQ(must(restore()).owner.name, "postgres");
  struct stat info {};
  for (const auto* name : {"", "base/5/16384", "global/pg_control", "base/5", "base/5/empty"}) {
    ASSERT_EQ(::stat((target_ / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, owner.user) << name;
  }
}

}  // namespace
}  // namespace pgstrata
