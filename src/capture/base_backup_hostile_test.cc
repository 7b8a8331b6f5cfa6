// A server, or somebody in between, that sends what PostgreSQL does not: it is refused as it comes, nothing
// is published, and no restore or verify meets it later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "capture/replayed_backup_for_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class BaseBackupHostileTest : public ReplayedBackupTest {
 protected:
  // What it said: it is the source's fault, and nothing is to be seen of the backup.
  std::string refused(const Change& change, const char* code = "failed") {
    const auto made = back_up(change);
    EXPECT_EQ(code_of(made), code) << message_of(made);
    EXPECT_THAT(made ? "" : made.error().hint(), HasSubstr("Nothing was published."));
    EXPECT_THAT(must(space_.list("snapshots/")), IsEmpty());
    return made ? "" : made.error().describe();
  }
  // A server with a tablespace of one file.
  static void add_tablespace(ReplayedBackup& source, const std::string& location, const std::string& file) {
    source.tablespaces.push_back({Oid{16999}, location, 0});
    source.archive_of_tablespace = Oid{16999};
    source.sent_of_tablespace = {{"PG_15_202209061/", {}}, {file, noise(100, 5)}};
    source.listed["pg_tblspc/16999/" + file] = noise(100, 5);
  }
};

TEST_F(BaseBackupHostileTest, ATablespaceAsPostgreSqlHasItIsTaken) {
  const auto made =
      back_up([](auto& source) { add_tablespace(source, "/srv/fast", "PG_15_202209061/5/16400"); });
  ASSERT_TRUE(made) << made.error().describe();
  ASSERT_THAT(made->tablespaces, SizeIs(1));
  EXPECT_EQ(made->tablespaces.front().location, "/srv/fast");
}

TEST_F(BaseBackupHostileTest, ATablespaceWhereNoneCanBeIsRefused) {
  const auto said = refused(
      [](auto& source) { add_tablespace(source, "relative/../../x\n\x1b[31m", "PG_15_202209061/5/16400"); });
  EXPECT_THAT(said, AllOf(HasSubstr("tablespace 16999"), HasSubstr(R"(x\n\x1b[31m)"),
                          HasSubstr("control characters")));
  EXPECT_THAT(
      refused([](auto& source) { add_tablespace(source, "pg_tblspc/16999", "PG_15_202209061/5/16400"); }),
      HasSubstr("not an absolute path"));
  EXPECT_THAT(
      refused([](auto& source) { add_tablespace(source, "/srv/../root", "PG_15_202209061/5/16400"); }),
      HasSubstr("simplest form"));
}

TEST_F(BaseBackupHostileTest, AFileOfATablespaceThatIsNotPostgreSqlsIsRefused) {
  EXPECT_THAT(refused([](auto& source) { add_tablespace(source, "/root/victim/unit.d", "authorized_keys"); }),
              AllOf(HasSubstr("\"authorized_keys\""), HasSubstr("tablespace 16999")));
  EXPECT_THAT(refused([](auto& source) { add_tablespace(source, "/srv/fast", "PG_14_202107181/5/1"); }),
              HasSubstr("PG_14_202107181/5/1"));
  // In the data directory's archive, under the tablespace's name there.
  EXPECT_THAT(refused([](auto& source) {
                add_tablespace(source, "/root/victim/unit.d", "PG_15_202209061/5/16400");
                source.sent["pg_tblspc/016999/authorized_keys"] = noise(10, 6);
              }),
              HasSubstr("\"authorized_keys\""));
  EXPECT_THAT(refused([](auto& source) {
                add_tablespace(source, "/srv/fast", "PG_15_202209061/5/16400");
                source.tablespaces.pop_back();
              }),
              HasSubstr("tablespace 16999 that it did not name"));
}

TEST_F(BaseBackupHostileTest, ANameThatLeavesTheDataDirectoryIsRefused) {
  for (const std::string name : {"../../EVIL", "/tmp/EVILX", "base/../EV", "base//EV", "..", "EV/."}) {
    EXPECT_THAT(refused([&](auto& source) {
                  source.sent[name] = noise(100, 7);
                  source.listed[name] = noise(100, 7);
                }),
                HasSubstr(name));
  }
  EXPECT_THAT(refused([](auto& source) { source.sent["base/../EV/"]; }), HasSubstr("base/../EV"));
}

// The size in a header is a claim: memory is taken for what comes.
TEST_F(BaseBackupHostileTest, AHugeSizeInAHeaderTakesNoMemory) {
  for (const auto claimed : {std::uint64_t{1} << 50U, std::uint64_t{1} << 61U}) {
    EXPECT_THAT(refused([&](auto& source) {
                  source.archive = to_bytes(tar_header("base/5/16384", claimed));
                  append(*source.archive, noise(3 * extent_bytes, 8));
                }),
                HasSubstr("ends within a member"));
  }
  struct rusage used {};
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &used), 0);
  EXPECT_LT(used.ru_maxrss, 2'000'000) << "KiB";
}

TEST_F(BaseBackupHostileTest, AManifestWithoutEndIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.manifest = Bytes(4U << 20, std::byte{'x'}); }),
              HasSubstr("longer than 8 files can make it"));
}

TEST_F(BaseBackupHostileTest, AnAnswerThatIsNotTheLabelsIsRefused) {
  const Lsn last{UINT64_MAX};
  EXPECT_THAT(
      refused([&](auto& source) { source.start_lsn = last; }, "check_failed"),
      AllOf(HasSubstr("starts at FFFFFFFF/FFFFFFFF on timeline 1"), HasSubstr("backup_label at 0/9")));
  EXPECT_THAT(refused(
                  [&](auto& source) {
                    source.start_lsn = last;
                    source.sent["backup_label"] = source.listed["backup_label"] =
                        ReplayedBackup::label_of(last);
                  },
                  "check_failed"),
              HasSubstr("starts at FFFFFFFF/FFFFFFFF and is consistent at"));
  EXPECT_THAT(refused([](auto& source) {
                source.sent.erase("backup_label");
                source.listed.erase("backup_label");
              }),
              HasSubstr("backup_label names no start"));
}

TEST_F(BaseBackupHostileTest, WhatDoesNotParseIsTheSourcesFault) {
  EXPECT_THAT(refused([](auto& source) { source.archive = noise(4096, 3); }),
              HasSubstr("read the backup's tar stream: no tar header at offset 0"));
  EXPECT_THAT(refused([](auto& source) { source.manifest = to_bytes("garbage\n"); }),
              HasSubstr("verify the backup manifest"));
  EXPECT_THAT(refused(
                  [](auto& source) {
                    std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n\"Files\": [],\n";
                    text +=
                        fmt::format("\"Manifest-Checksum\": \"{}\"}}\n", to_hex(sha256(as_byte_view(text))));
                    source.manifest = to_bytes(text);
                  },
                  "unsupported"),
              HasSubstr("newer than 2"));
}

}  // namespace
}  // namespace pgstrata::testing
