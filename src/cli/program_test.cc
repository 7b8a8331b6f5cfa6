#include "cli/program.h"

#include <cstdlib>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_tree.h"
#include "cli/completion.h"
#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct CommandRun {
  int code = -1;
  std::string out;
  std::string err;
};

// Set while it lives.
class Variable {
 public:
  Variable(std::string name, const char* value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value, 1);
  }
  ~Variable() { ::unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
};

// With a settings file of its own, so that none of this machine's is read.
class ProgramTest : public ::testing::Test {
 protected:
  // Whoever runs the tests may have settings of his own.
  void SetUp() override {
    for (const auto* name : {"PGSTRATA_REPO", "PGSTRATA_KEY_FILE", "PGSTRATA_PASSPHRASE", "PGSTRATA_CONFIG",
                             "PGSTRATA_STATE_DIR"})
      ::unsetenv(name);
  }
  CommandRun run(std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    Console console(out, err, false);
    const int code = run_program(arguments, console, cancellation_);
    return {.code = code, .out = out.str(), .err = err.str()};
  }
  // The command with its repository and no other settings.
  CommandRun run_here(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--repo", repo_, "--config", config_});
    return run(std::move(arguments));
  }
  std::string path(const std::string& name) { return (directory_.path() / name).string(); }
  // The id of the key slot that the command makes.
  std::string new_slot(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const CommandRun made = run_here(std::move(arguments));
    EXPECT_EQ(made.code, 0) << made.err;
    return made.code == 0 ? Json::parse(made.out).at("key_slot").at("id").get<std::string>() : "";
  }
  // The ids of all slots, listed with that key.
  std::set<std::string> slots(const std::vector<std::string>& key) {
    std::vector<std::string> arguments{"key", "list", "--output", "json"};
    arguments.insert(arguments.end(), key.begin(), key.end());
    const CommandRun list = run_here(std::move(arguments));
    EXPECT_EQ(list.code, 0) << list.err;
    std::set<std::string> ids;
    if (list.code != 0) return ids;
    const Json slots = Json::parse(list.out).at("key_slots");
    for (const Json& slot : slots) ids.insert(slot.at("id"));
    return ids;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("program").value();
  std::string repo_ = path("repo");
  std::string config_ = [this] {
    EXPECT_TRUE(write_file(path("config.toml"), {}).has_value());
    return path("config.toml");
  }();
  Cancellation cancellation_;
};

TEST_F(ProgramTest, SaysThatWhatCouldNotBeShownIsDoneAllTheSame) {
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);
  Console console(out, err, false);
  EXPECT_EQ(
      run_program({"init", "--no-encryption", "--repo", repo_, "--config", config_}, console, cancellation_),
      1);
  EXPECT_THAT(err.str(), HasSubstr("\nhint: The command itself has done its work"));
  EXPECT_TRUE(file_exists(repo_).value());
}

TEST_F(ProgramTest, SaysItsVersion) {
  const CommandRun version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out, "pgstrata " PGSTRATA_TEST_VERSION "\n");
}

TEST_F(ProgramTest, EveryCommandHasHelpWithAnExample) {
  Invocation invocation;
  const auto program = build_program(invocation);
  for (const NamedCommand& command : all_commands(*program)) {
    if (!visible_commands(*command.app).empty()) continue;
    std::vector<std::string> arguments;
    std::istringstream words(command.name);
    for (std::string word; words >> word;) arguments.push_back(word);
    arguments.emplace_back("--help");
    const CommandRun help = run(arguments);
    EXPECT_EQ(help.code, 0) << command.name << help.err;
    EXPECT_THAT(help.out, HasSubstr("Usage: pgstrata " + command.name));
    EXPECT_THAT(help.out, HasSubstr(command.app->get_group().empty() ? "Exit codes" : "Example"))
        << command.name;
    EXPECT_EQ(help.err, "");
  }
}

TEST_F(ProgramTest, RefusesWhatMakesNoSense) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"snapshot"},
           {"backup"},
           {"status", "a", "b"},
           {"restore", "app"},
           {"restore", "app", "--to", "d", "--at", "now", "--latest"},
           {"restore", "app", "--to", "d", "--exclusive"},
           {"restore", "app", "--to", "d", "--lsn", "0/1", "--tz", "Atlantis"},
           {"status", "--output", "xml"},
           {"init", "--no-encryption", "--key-file", "k"},
           {"stream", "app", "--until-lsn", "x", "--repo", repo_}}) {
    const CommandRun refused = run(arguments);
    EXPECT_EQ(refused.code, 2) << ::testing::PrintToString(arguments) << refused.err;
    EXPECT_THAT(refused.err, StartsWith("pgstrata: error: "));
    EXPECT_THAT(refused.err, HasSubstr("\nhint: "));
    EXPECT_EQ(refused.out, "");
  }
}

TEST_F(ProgramTest, NamesTheCommandThatThereIsNot) {
  EXPECT_THAT(run({"bakup", "app"}).err, HasSubstr("there is no command \"bakup\"\nhint: `pgstrata --help`"));
  EXPECT_THAT(run({"snapshot", "lst", "app"}).err,
              HasSubstr("there is no command \"lst\"\nhint: `pgstrata snapshot --help`"));
  EXPECT_THAT(run({}).err, HasSubstr("a command is missing"));
  EXPECT_THAT(run({"--output", "json"}).err, HasSubstr("a command is missing"));
}

TEST_F(ProgramTest, NamesWhatItDoesNotKnow) {
  EXPECT_THAT(run({"status", "--ouptut", "json"}).err, HasSubstr("there is no option --ouptut\n"));
  EXPECT_THAT(run({"status", "app", "twice"}).err, HasSubstr("\"twice\" is one argument too many\n"));
  EXPECT_THAT(run({"--repo", "x", "status"}).err, HasSubstr("--repo stands before the command"));
}

TEST_F(ProgramTest, NamesTheFormsOfOutput) {
  for (const std::string format : {"yaml", "1", ""}) {
    EXPECT_THAT(
        run({"status", "--output", format}).err,
        StartsWith(fmt::format("pgstrata: error: --output is table or json, not {}\nhint: ", format)));
  }
}

TEST_F(ProgramTest, NeverShowsAPasswordThatCameToTheWrongPlace) {
  const CommandRun refused =
      run({"add", "app", "postgresql://u:s3cret@db/x", "--url", "postgresql://u:s3cret@db/x"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, Not(HasSubstr("s3cret")));
}

TEST_F(ProgramTest, InitMakesAKeyAndTellsToKeepIt) {
  const std::string key = path("key");
  const CommandRun made = run_here({"init", "--key-file", key, "--output", "json"});
  ASSERT_EQ(made.code, 0) << made.err;
  const Json json = Json::parse(made.out);
  EXPECT_EQ(json.at("repository"), repo_);
  EXPECT_EQ(json.at("encrypted"), true);
  EXPECT_EQ(json.at("key_file_generated"), true);
  EXPECT_EQ(json.at("key_slot").at("kind"), "key_file");
  EXPECT_THAT(made.err, HasSubstr("KEEP A COPY OF THE KEY FILE"));
  EXPECT_EQ(stat_file(key).value().permissions, 0600U);
  EXPECT_EQ(stat_file(key).value().size_bytes, 65U);

  const CommandRun again = run_here({"init", "--key-file", key});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("already"));
  EXPECT_TRUE(file_exists(key).value());
}

TEST_F(ProgramTest, InitLeavesNoKeyForARepositoryThatIsNotMade) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  EXPECT_EQ(run_here({"init", "--key-file", path("useless")}).code, 1);
  EXPECT_FALSE(file_exists(path("useless")).value());
}

TEST_F(ProgramTest, InitTeachesAboutEncryptionAndPlaces) {
  const CommandRun unsaid = run_here({"init"});
  EXPECT_EQ(unsaid.code, 2);
  EXPECT_THAT(unsaid.err, HasSubstr("--key-file"));
  EXPECT_FALSE(file_exists(repo_).value());
  const CommandRun inside = run_here({"init", "--key-file", repo_ + "/key"});
  EXPECT_EQ(inside.code, 2);
  EXPECT_THAT(inside.err, HasSubstr("apart"));
  ASSERT_TRUE(write_file(path("short"), as_byte_view("short")).has_value());
  EXPECT_EQ(run_here({"init", "--key-file", path("short")}).code, 2);
  EXPECT_FALSE(file_exists(repo_).value());
  EXPECT_EQ(run({"init", "--no-encryption", "--repo", "s3://bucket?key=x", "--config", config_}).code, 2);
  EXPECT_EQ(run({"init", "--no-encryption", "--repo", "ftp://host/x", "--config", config_}).code, 2);
}

TEST_F(ProgramTest, InitNeedsAnEmptyFolder) {
  std::filesystem::create_directories(repo_);
  ASSERT_TRUE(write_file(repo_ + "/note", as_byte_view("x")).has_value());
  const CommandRun full = run_here({"init", "--no-encryption"});
  EXPECT_EQ(full.code, 2);
  EXPECT_THAT(full.err, HasSubstr("\nhint: Give --repo an empty folder.\n"));
}

TEST_F(ProgramTest, NamesASettingsFileThatIsNotThere) {
  const CommandRun missing = run({"status", "--config", path("none.toml")});
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.err, HasSubstr("none.toml"));
}

TEST_F(ProgramTest, KeysComeAndGo) {
  const std::string key = path("key");
  const std::string second = path("second");
  const std::string first_slot = new_slot({"init", "--key-file", key});
  EXPECT_EQ(run_here({"key", "add", "--key-file", key}).code, 2);
  const std::string second_slot = new_slot({"key", "add", "--key-file", key, "--new-key-file", second});
  EXPECT_EQ(slots({"--key-file", second}), (std::set{first_slot, second_slot}));
  EXPECT_EQ(run_here({"key", "remove", "--key-file", second, "00000000"}).code, 3);
  const CommandRun its_own = run_here({"key", "remove", "--key-file", second, second_slot});
  EXPECT_EQ(its_own.code, 2);
  EXPECT_THAT(its_own.err, HasSubstr("is the one that opened the repository"));

  EXPECT_EQ(run_here({"key", "remove", "--key-file", second, first_slot}).code, 0);
  EXPECT_EQ(slots({"--key-file", second}), std::set{second_slot});
  EXPECT_EQ(run_here({"key", "list", "--key-file", key}).code, 5);
  const CommandRun last = run_here({"key", "remove", "--key-file", second, second_slot});
  EXPECT_EQ(last.code, 2);
  EXPECT_THAT(last.err, HasSubstr("is the last one"));
  EXPECT_EQ(slots({"--key-file", second}), std::set{second_slot});
}

TEST_F(ProgramTest, APassphraseOpensTheRepositoryItMade) {
  const Variable words("PGSTRATA_TEST_WORDS", "correct horse battery staple");
  const std::vector<std::string> with_words{"--passphrase-env", "PGSTRATA_TEST_WORDS"};
  const CommandRun made = run_here({"init", "--passphrase-env", "PGSTRATA_TEST_WORDS", "--output", "json"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_EQ(Json::parse(made.out).at("key_slot").at("kind"), "passphrase");
  EXPECT_THAT(made.err, HasSubstr("KEEP THE PASSPHRASE"));
  EXPECT_THAT(made.out + made.err, Not(HasSubstr("horse")));
  EXPECT_EQ(slots(with_words).size(), 1U);

  const Variable wrong("PGSTRATA_TEST_OTHER_WORDS", "correct horse battery stable");
  const CommandRun refused = run_here({"status", "--passphrase-env", "PGSTRATA_TEST_OTHER_WORDS"});
  EXPECT_EQ(refused.code, 5);
  EXPECT_THAT(refused.err, HasSubstr("passphrase"));
  EXPECT_EQ(run_here({"status", "--passphrase-env", "PGSTRATA_TEST_NO_WORDS"}).code, 2);

  // One more passphrase, and each opens it.
  const std::string slot = new_slot({"key", "add", "--passphrase-env", "PGSTRATA_TEST_WORDS",
                                     "--new-passphrase-env", "PGSTRATA_TEST_OTHER_WORDS"});
  EXPECT_TRUE(slots({"--passphrase-env", "PGSTRATA_TEST_OTHER_WORDS"}).contains(slot));
  EXPECT_EQ(slots(with_words).size(), 2U);
}

TEST_F(ProgramTest, WrongKeyIsItsOwnCode) {
  ASSERT_EQ(run_here({"init", "--key-file", path("key")}).code, 0);
  ASSERT_TRUE(write_file(path("other"), as_byte_view(std::string(64, 'x'))).has_value());
  EXPECT_EQ(run_here({"key", "list", "--key-file", path("other")}).code, 5);
  EXPECT_EQ(run_here({"key", "list"}).code, 5);
  EXPECT_EQ(run_here({"status", "nobody", "--key-file", path("key")}).code, 3);
  EXPECT_EQ(run({"status", "--repo", path("nowhere"), "--config", config_}).code, 3);
}

TEST_F(ProgramTest, StatusOfAnEmptyRepository) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  const CommandRun status = run_here({"status", "--output", "json"});
  ASSERT_EQ(status.code, 0) << status.err;
  const Json json = Json::parse(status.out);
  EXPECT_EQ(json.at("repository").at("encrypted"), false);
  EXPECT_TRUE(json.at("clusters").empty());
  EXPECT_THAT(run_here({"status"}).out, HasSubstr("pgstrata add"));
  EXPECT_EQ(run_here({"verify"}).code, 0);
}

TEST_F(ProgramTest, VerifyHasLevelsThatExcludeEachOther) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  const auto level = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"verify", "--output", "json"});
    return Json::parse(run_here(flags).out);
  };
  EXPECT_EQ(level({}).at("level"), "everything");
  EXPECT_TRUE(level({}).at("seed").is_null());
  EXPECT_EQ(level({"--structure"}).at("level"), "structure");
  const Json sample = level({"--sample", "0.5%", "--seed", "7"});
  EXPECT_EQ(sample.at("level"), "sample");
  EXPECT_EQ(sample.at("sample_percent"), 0.5);
  EXPECT_EQ(sample.at("seed"), 7);
  EXPECT_TRUE(level({"--sample", "100"}).at("seed").is_number());
  for (const auto& flags : std::vector<std::vector<std::string>>{{"--structure", "--sample", "5%"},
                                                                 {"--structure", "--read-all"},
                                                                 {"--sample", "5%", "--read-all"},
                                                                 {"--seed", "7"},
                                                                 {"--sample", "0"},
                                                                 {"--sample", "101%"},
                                                                 {"--sample", "nan"},
                                                                 {"--sample", "five"}}) {
    std::vector<std::string> arguments{"verify"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_EQ(run_here(arguments).code, 2) << flags.front();
  }
}

TEST_F(ProgramTest, RepairOfAClusterThatIsNotThere) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  EXPECT_EQ(run_here({"repair", "app"}).code, 3);
  EXPECT_EQ(run_here({"repair"}).code, 2);
}

TEST_F(ProgramTest, WhatCanBeNoClusterIsLeftAlone) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  std::filesystem::create_directories(repo_ + "/clusters/Cpp");
  ASSERT_TRUE(write_file(repo_ + "/clusters/Cpp/key", as_byte_view("x")).has_value());
  const CommandRun verified = run_here({"verify"});
  EXPECT_EQ(verified.code, 0) << verified.err;
  EXPECT_THAT(verified.out, HasSubstr("not of pgstrata, left alone: clusters/Cpp\n"));
  EXPECT_EQ(Json::parse(run_here({"verify", "--output", "json"}).out).at("unknown_objects"),
            Json::array({"clusters/Cpp"}));
  EXPECT_THAT(run_here({"status"}).out, Not(HasSubstr("PROBLEM")));
}

TEST_F(ProgramTest, WalFetchNeverLooksLikeTheEndOfTheWal) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"wal-fetch"}, {"wal-fetch", "--kit", path("missing"), "000000010000000000000001", path("wal")}}) {
    EXPECT_GT(run(arguments).code, 125);
  }
}

TEST_F(ProgramTest, CompletionKnowsEveryCommandAndOption) {
  Invocation invocation;
  const auto program = build_program(invocation);
  const std::string bash = bash_completion(*program);
  const std::string zsh = zsh_completion(*program);
  for (const NamedCommand& command : all_commands(*program)) {
    EXPECT_THAT(bash, HasSubstr("'" + command.name + "')"));
    EXPECT_THAT(zsh, HasSubstr("'" + command.name + "')"));
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option_names(*option)) {
        EXPECT_THAT(bash, HasSubstr(name));
        EXPECT_THAT(zsh, HasSubstr(name));
      }
    }
  }
  EXPECT_EQ(run({"completion", "bash"}).out, bash);
  EXPECT_EQ(run({"completion", "fish"}).code, 2);
}

// The reference is complete: each command has a heading, each option is named under it or among the shared
// ones.
TEST_F(ProgramTest, TheReferenceNamesEveryCommandAndOption) {
  const auto document = read_file(std::string(PGSTRATA_SOURCE_DIR) + "/docs/cli.md");
  ASSERT_TRUE(document.has_value()) << document.error().describe();
  const std::string text(as_text(*document));
  const auto manual = read_file(std::string(PGSTRATA_SOURCE_DIR) + "/docs/man/pgstrata.1");
  ASSERT_TRUE(manual.has_value()) << manual.error().describe();
  std::string man(as_text(*manual));
  for (std::size_t at = 0; (at = man.find("\\-", at)) != std::string::npos;) man.erase(at, 1);
  Invocation invocation;
  const auto program = build_program(invocation);
  for (const NamedCommand& command : all_commands(*program)) {
    if (!visible_commands(*command.app).empty()) continue;
    EXPECT_THAT(text, HasSubstr("\n### pgstrata " + command.name + "\n"));
    EXPECT_THAT(man, HasSubstr("pgstrata " + command.name));
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option_names(*option)) {
        EXPECT_THAT(text, HasSubstr("`" + name)) << command.name;
        EXPECT_THAT(man, HasSubstr(name)) << command.name;
      }
    }
  }
}

TEST_F(ProgramTest, TheKeyIsRotatedAndOtherSlotsGoOnPurpose) {
  const std::string key = path("key");
  const std::string other = path("other");
  const std::string next = path("next");
  const std::string first = new_slot({"init", "--key-file", key});
  const std::string second = new_slot({"key", "add", "--key-file", key, "--new-key-file", other});
  const CommandRun refused = run_here({"key", "rotate", "--key-file", key, "--new-key-file", next});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr(second));
  EXPECT_THAT(refused.err, HasSubstr("--drop-other-slots"));
  EXPECT_FALSE(file_exists(next).value());

  const CommandRun rotated = run_here(
      {"key", "rotate", "--key-file", key, "--new-key-file", next, "--drop-other-slots", "--output", "json"});
  ASSERT_EQ(rotated.code, 0) << rotated.err;
  const Json json = Json::parse(rotated.out);
  EXPECT_EQ(json.at("key_file_generated"), true);
  EXPECT_EQ(json.at("clusters"), 0);
  EXPECT_EQ(json.at("resumed"), false);
  EXPECT_EQ((std::set<std::string>(json.at("removed"))), (std::set<std::string>{first, second}));
  EXPECT_THAT(rotated.err, HasSubstr("KEEP A COPY OF THE KEY FILE"));
  EXPECT_EQ(slots({"--key-file", next}), (std::set<std::string>{json.at("key_slot").at("id")}));
  EXPECT_EQ(run_here({"status", "--key-file", key}).code, 5);

  const CommandRun again = run_here({"key", "rotate", "--key-file", next});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, StartsWith("rotated the repository's key"));
  EXPECT_EQ(run_here({"verify", "--key-file", next}).code, 0);
}

TEST_F(ProgramTest, ShredWantsTheNameAndTellsWhatWouldGo) {
  ASSERT_EQ(run_here({"init", "--no-encryption"}).code, 0);
  EXPECT_EQ(run_here({"shred", "app", "--confirm", "app"}).code, 3);
  EXPECT_EQ(run_here({"shred", "No Name", "--dry-run"}).code, 2);
  // What a lost key leaves.
  ASSERT_TRUE(make_directories(repo_ + "/clusters/app/packs").has_value());
  ASSERT_TRUE(write_file(repo_ + "/clusters/app/packs/x", Bytes(1000)).has_value());
  const CommandRun told = run_here({"shred", "app", "--dry-run", "--output", "json"});
  ASSERT_EQ(told.code, 0) << told.err;
  const Json json = Json::parse(told.out);
  EXPECT_EQ(json.at("has_key"), false);
  EXPECT_EQ(json.at("objects"), 1);
  EXPECT_EQ(json.at("bytes"), 1000);
  EXPECT_EQ(json.at("shredded"), false);
  EXPECT_EQ(json.at("slot"), Json());

  const CommandRun other = run_here({"shred", "app", "--confirm", "App"});
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("--confirm app"));
  EXPECT_TRUE(file_exists(repo_ + "/clusters/app/packs/x").value());
  const CommandRun done = run_here({"shred", "app", "--confirm", "app"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("removed 1 object"));
  EXPECT_EQ(run_here({"shred", "app", "--confirm", "app"}).code, 3);
}

}  // namespace
}  // namespace pgstrata
