// The completion scripts in the shells they are for.
#include "cli/completion.h"

#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_tree.h"
#include "cli/program.h"
#include "sys/process.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class CompletionTest : public ::testing::Test {
 protected:
  CompletionTest() {
    Invocation invocation;
    const auto program = build_program(invocation);
    std::ofstream(path("bash")) << bash_completion(*program);
    std::ofstream(path("zsh")) << zsh_completion(*program);
    // Where file names are completed: a file that is named as a command is, too.
    std::filesystem::create_directory(path("files"));
    std::ofstream(path("files/repository.key")) << "x";
    std::filesystem::create_directory(path("files/restore"));
  }
  std::string path(const std::string& name) { return (directory_.path() / name).string(); }

  // What bash offers for the last of the words.
  std::set<std::string> offered(const std::vector<std::string>& words) {
    std::vector<std::string> arguments{"bash", "--norc", "-c", R"(source "$0" || exit
        [[ $(complete -p pgstrata) == *"-F _pgstrata pgstrata" ]] || exit
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _pgstrata pgstrata "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}")",
                                       path("bash")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const auto run = run_command({.arguments = arguments, .working_directory = path("files")});
    EXPECT_TRUE(run.has_value() && run->status.success());
    std::set<std::string> replies;
    if (!run.has_value()) return replies;
    EXPECT_EQ(as_text(run->errors), "");
    std::istringstream lines{std::string(as_text(run->output))};
    for (std::string line; std::getline(lines, line);)
      if (!line.empty()) replies.insert(line);
    return replies;
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("completion").value();
};

TEST_F(CompletionTest, BashOffersCommands) {
  EXPECT_THAT(offered({"pgstrata", "res"}), ElementsAre("restore"));
  EXPECT_THAT(offered({"pgstrata", "s"}), UnorderedElementsAre("status", "stream", "snapshot", "shred"));
  EXPECT_THAT(offered({"pgstrata", "key", ""}), ::testing::IsSupersetOf({"list", "add", "remove", "rotate"}));
  EXPECT_THAT(offered({"pgstrata", ""}), Not(Contains("wal-fetch"))) << "PostgreSQL calls it";
  EXPECT_THAT(offered({"pgstrata", "frobnicate", "x"}), IsEmpty());
}

TEST_F(CompletionTest, BashOffersTheOptionsOfTheCommand) {
  const auto restore = offered({"pgstrata", "restore", "--"});
  for (const auto* option : {"--to", "--at", "--lsn", "--delta", "--start", "--key-file", "--help"})
    EXPECT_THAT(restore, Contains(option));
  EXPECT_THAT(restore, Not(Contains("--new-key-file")));
  EXPECT_THAT(offered({"pgstrata", "restore", "app", "--del"}), ElementsAre("--delta"));
  EXPECT_THAT(offered({"pgstrata", "key", "add", "--new-k"}), ElementsAre("--new-key-file"));
}

TEST_F(CompletionTest, BashOffersFilesWhereAPathIsAsked) {
  EXPECT_THAT(offered({"pgstrata", "status", "--key-file", "re"}),
              UnorderedElementsAre("repository.key", "restore"));
  EXPECT_THAT(offered({"pgstrata", "restore", "app", "--to", ""}), Contains("repository.key"));
  EXPECT_THAT(offered({"pgstrata", "status", "--output", "re"}), IsEmpty());
}

// Where there is no zsh, nothing of it can be said.
TEST_F(CompletionTest, ZshReadsItsScript) {
  if (!find_program("zsh").has_value()) return;
  const auto run = run_command({.arguments = {"zsh", "-n", path("zsh")}});
  ASSERT_TRUE(run.has_value());
  EXPECT_TRUE(run->status.success()) << as_text(run->errors);
}

}  // namespace
}  // namespace pgstrata
