// A repository that is not there, not ours, not readable, not whole.
#include <sys/stat.h>

#include "codec/digest.h"
#include "e2e/fault_test.h"
#include "support/slow_mount.h"
#include "sys/files.h"

namespace pgstrata::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class FaultRepositoryTest : public FaultTest {
 protected:
  ProgramRun with(const Environment& changes, std::vector<std::string> arguments) const {
    Environment variables = environment();
    for (const auto& [name, value] : changes) variables[name] = value;
    return run_pgstrata(std::move(arguments), variables);
  }
};

TEST_F(FaultRepositoryTest, AFolderThatIsMissingOrHoldsNoRepository) {
  init();
  const auto away = path("away");
  std::filesystem::rename(repository(), away);
  for (const auto* command : {"status", "verify"})
    expect_clear(pgstrata({command}), 3, repository().string());
  EXPECT_THAT(pgstrata({"status"}).err, HasSubstr("pgstrata init"));
  expect_clear(pgstrata({"backup", "app", "--base"}), 3, repository().string());
  std::filesystem::create_directory(repository());  // as the mount point of a disk that is not mounted
  expect_clear(pgstrata({"status"}), 3, "no repository");
  const auto hint = pgstrata({"status"}).err;
  EXPECT_THAT(hint, HasSubstr("mount"));
  std::ofstream(repository() / "letters.txt") << "dear";
  expect_clear(pgstrata({"status"}), 3, "no repository");
  const ProgramRun made = pgstrata({"init"});
  EXPECT_EQ(made.exit_code, 2) << made.describe();
  EXPECT_TRUE(std::filesystem::exists(repository() / "letters.txt"));
  std::filesystem::remove_all(repository());
  std::filesystem::rename(away, repository());
  ok({"status"});
}

TEST_F(FaultRepositoryTest, ADiskThatIsMountedAnewIsGoneOnWith) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "SKIPPED: needs /dev/fuse";
  PostgresServer server;
  protect(server);
  const TemporaryDirectory places;
  const auto place = places.make("far");
  const auto mounted = [&](const std::filesystem::path& at) {
    return std::make_unique<SlowMount>(repository(), at, std::chrono::microseconds(0));
  };
  const auto device = [&] { return stat_file(place)->device; };
  auto disk = mounted(place);
  const auto before = device();
  Environment variables = environment();
  variables["PGSTRATA_REPO"] = place.string();
  BackgroundPgstrata stream({"stream", "app"}, variables);
  wait_for_lease("stream");
  wait_flushed(server);
  disk.reset();
  server.query("CREATE TABLE meanwhile (n int)");
  stream.wait_for_output("does not take WAL");
  const auto other = mounted(places.make("other"));  // it gets the number that is free
  disk = mounted(place);
  EXPECT_NE(device(), before);
  server.query("CREATE TABLE afterwards (n int)");
  wait_flushed(server);
  EXPECT_EQ(stream.terminate().exit_code, 0);
}

TEST_F(FaultRepositoryTest, AWrongKeyInItsManyForms) {
  init();
  std::ofstream(path("other")) << std::string(32, 'x');
  std::ofstream(path("short")) << "too short";
  expect_clear(with({{"PGSTRATA_KEY_FILE", path("other").string()}}, {"status"}), 5, "key");
  expect_clear(with({{"PGSTRATA_KEY_FILE", path("short").string()}}, {"status"}), 2, "32");
  expect_clear(with({{"PGSTRATA_KEY_FILE", path("none").string()}}, {"status"}), 3, "key file");
}

TEST_F(FaultRepositoryTest, AWrongPassphraseIsSaidAndNotShown) {
  init();
  const ProgramRun added =
      with({{"NEW", "open sesame, please"}}, {"key", "add", "--new-passphrase-env", "NEW"});
  ASSERT_EQ(added.exit_code, 0) << added.describe();
  Environment variables = environment();
  variables.erase("PGSTRATA_KEY_FILE");
  variables["PGSTRATA_PASSPHRASE"] = "open sesame, please";
  EXPECT_EQ(run_pgstrata({"status"}, variables).exit_code, 0);
  variables["PGSTRATA_PASSPHRASE"] = "open walnut, please";
  const ProgramRun wrong = run_pgstrata({"status"}, variables);
  expect_clear(wrong, 5, "passphrase");
  EXPECT_THAT(wrong.out + wrong.err, Not(HasSubstr("walnut")));
}

TEST_F(FaultRepositoryTest, AnotherRepositorysKeyAndParts) {
  PostgresServer server;
  protect(server);
  const Environment other{{"PGSTRATA_REPO", path("other").string()},
                          {"PGSTRATA_KEY_FILE", path("other-key").string()},
                          {"PGSTRATA_CONFIG", environment().at("PGSTRATA_CONFIG")}};
  ASSERT_EQ(run_pgstrata({"init"}, other).exit_code, 0);
  expect_clear(with({{"PGSTRATA_KEY_FILE", path("other-key").string()}}, {"status"}), 5, "key");
  // A cluster copied over from another repository does not open there.
  ASSERT_EQ(
      run_program({"/bin/cp", "-r", (repository() / "clusters").string(), path("other").string()}).exit_code,
      0);
  const ProgramRun foreign = run_pgstrata({"status", "app"}, other);
  expect_clear(foreign, 5, "clusters/app/key");
}

// What a fifo would give nobody waits for, and what a link leads to nobody takes.
TEST_F(FaultRepositoryTest, AnythingButAFileInPlaceOfAClustersKeyHidesNoOther) {
  PostgresServer server;
  protect(server);
  ok({"add", "other", "--url", server.url()});
  for (const auto* name : {"clusters/app/key", "clusters/app/cluster"}) {
    const auto file = repository() / name;
    std::filesystem::rename(file, path("moved"));
    for (const auto* what : {"fifo", "link", "link to nothing"}) {
      SCOPED_TRACE(fmt::format("{}: {}", name, what));
      if (what == std::string_view("fifo")) {
        ASSERT_EQ(::mkfifo(file.c_str(), 0666), 0);
        std::filesystem::permissions(file, std::filesystem::perms::all);
      } else {
        std::filesystem::create_symlink(what == std::string_view("link") ? path("moved") : "nowhere", file);
      }
      const ProgramRun verify = pgstrata({"verify", "--output", "json"});
      EXPECT_EQ(verify.exit_code, 5) << verify.describe();
      const Json report = Json::parse(verify.out);
      ASSERT_THAT(report.at("damaged"), ::testing::SizeIs(1)) << verify.describe();
      EXPECT_EQ(report.at("damaged").at(0).at("name"), name);
      EXPECT_THAT(std::string(report.at("damaged").at(0).at("what")), HasSubstr("no regular file"));
      ASSERT_THAT(report.at("clusters"), ::testing::SizeIs(1)) << verify.describe();
      EXPECT_EQ(report.at("clusters").at(0).at("name"), "other");
      const Json status = json_of({"status"});
      ASSERT_THAT(status.at("clusters"), ::testing::SizeIs(1));
      EXPECT_EQ(status.at("clusters").at(0).at("name"), "other");
      EXPECT_EQ(status.at("problems").at(0).at("code"), "cluster_unreadable");
      expect_clear(pgstrata({"status", "app"}), 5, name);
      std::filesystem::remove(file);
    }
    std::filesystem::rename(path("moved"), file);
  }
  ok({"verify"});
}

TEST_F(FaultRepositoryTest, ANewerFormatAsksForAnUpgrade) {
  init();
  const auto descriptor = repository() / "repository";
  std::string text = read_text(descriptor);
  const auto version = text.find("\"version\":1");
  ASSERT_NE(version, std::string::npos);
  text.replace(version, 11, "\"version\":9");
  // The checksum is of the line without itself and without its end.
  const auto checksum = text.find("\"crc32c\":\"");
  ASSERT_NE(checksum, std::string::npos);
  std::string line = text.substr(0, text.find('\n'));
  line.erase(checksum, 20);
  const auto crc = crc32c_finish(crc32c_extend(crc32c_begin, as_byte_view(line)));
  text.replace(checksum + 10, 8, fmt::format("{:08x}", crc));
  std::ofstream(descriptor, std::ios::trunc) << text;
  expect_clear(pgstrata({"status"}), 5, "newer");
  EXPECT_THAT(pgstrata({"status"}).err, HasSubstr("pgrade"));
}

TEST_F(FaultRepositoryTest, AReadOnlyRepositoryIsReadAndNotWritten) {
  PostgresServer server;
  protect(server);
  ok({"backup", "app", "--base"});
  ASSERT_EQ(run_program({"/bin/chmod", "-R", "a-w", repository().string()}).exit_code, 0);
  expect_clear(pgstrata({"backup", "app", "--base"}), 1, repository().string());
  expect_clear(pgstrata({"stream", "app"}), 1, repository().string());
  expect_clear(pgstrata({"add", "second", "--url", server.url()}), 1, repository().string());
  expect_clear(pgstrata({"key", "add", "--new-key-file", path("useless").string()}), 1,
               repository().string());
  EXPECT_FALSE(std::filesystem::exists(path("useless")));
  ok({"status", "app"});
  ok({"verify"});
  ok({"restore", "app", "--to", path("restored").string()});
  ASSERT_EQ(run_program({"/bin/chmod", "-R", "u+w", repository().string()}).exit_code, 0);
  ok({"backup", "app", "--base"});
}

TEST_F(FaultRepositoryTest, AClusterWithoutItsKeyIsNotPassedOverInSilence) {
  PostgresServer server;
  protect(server);
  ok({"add", "other", "--url", server.url()});
  std::filesystem::remove(repository() / "clusters/app/key");
  const ProgramRun run = pgstrata({"status"});
  EXPECT_THAT(run.out, HasSubstr("other"));
  EXPECT_THAT(run.out + run.err, HasSubstr("cluster app: its key is gone"));
}

TEST_F(FaultRepositoryTest, AnUnknownClusterIsNotFoundAndTheOthersAreNamed) {
  PostgresServer server;
  protect(server);
  ok({"add", "second", "--url", server.url()});
  for (const auto* command : {"status", "verify", "backup", "stream"}) {
    const ProgramRun run = pgstrata({command, "third"});
    expect_clear(run, 3, "third");
    EXPECT_THAT(run.err, HasSubstr("app, second"));
  }
  expect_clear(pgstrata({"restore", "third", "--to", path("x").string()}), 3, "third");
  // What befalls one cluster leaves the other alone.
  ok({"backup", "app", "--base"});
  ok({"backup", "second", "--base"});
  std::filesystem::remove(repository() / "clusters/second/key");
  const ProgramRun verified = pgstrata({"verify"});
  EXPECT_EQ(verified.exit_code, 5) << verified.describe();
  EXPECT_THAT(verified.out, HasSubstr("clusters/second/key"));
  EXPECT_THAT(verified.out, HasSubstr("app: sound"));
  EXPECT_EQ(pgstrata({"status"}).exit_code, 0);
  ok({"restore", "app", "--to", path("restored").string()});
}

}  // namespace
}  // namespace pgstrata::testing
