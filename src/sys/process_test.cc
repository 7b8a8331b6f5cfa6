#include "sys/process.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using testing::HasSubstr;

ProcessOptions shell(std::string script) {
  return {.arguments = {"sh", "-c", std::move(script)}};
}

CommandResult run(const ProcessOptions& options) {
  auto result = run_command(options);
  EXPECT_TRUE(result) << result.error().describe();
  return result ? *result : CommandResult{};
}

TEST(Process, CapturesOutputErrorsAndStatus) {
  const auto result = run(shell("echo out; echo err >&2; exit 3"));
  EXPECT_EQ(as_text(result.output), "out\n");
  EXPECT_EQ(as_text(result.errors), "err\n");
  EXPECT_EQ(result.status.code, 3);
  EXPECT_FALSE(result.status.success());
  EXPECT_EQ(result.status.describe(), "exited with code 3");
}

TEST(Process, JoinsErrorsToTheOutput) {
  auto options = shell("echo one; echo two >&2; echo three");
  options.errors = Redirect::same_as_output();
  EXPECT_EQ(as_text(run(options).output), "one\ntwo\nthree\n");
}

TEST(Process, KeepsCapturedOutputWithinItsLimitAndDrainsTheRest) {
  const auto result =
      run_command(shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo e >&2"),
                  {.capture_limit_bytes = 1000});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output.size(), 1000U);
  EXPECT_EQ(as_text(result->errors), "e\n");
  EXPECT_TRUE(result->status.success());
}

TEST(Process, PassesArgumentsUntouched) {
  const auto result = run({.arguments = {"printf", "%s|", "a b", "$HOME", "*", "'\"", ""}});
  EXPECT_EQ(as_text(result.output), "a b|$HOME|*|'\"||");
}

TEST(Process, FeedsInput) {
  ProcessOptions options{.arguments = {"cat"}};
  options.input = Redirect::pipe();
  options.output = Redirect::pipe();
  auto child = ChildProcess::spawn(options).value();
  ASSERT_TRUE(write_all(child.input(), as_byte_view("hello")));
  child.input().close();
  Bytes into(100);
  EXPECT_EQ(read_some(child.output(), into).value(), 5U);
  EXPECT_TRUE(child.wait().value().success());
  EXPECT_TRUE(child.wait().value().success()) << "again";
}

TEST(Process, SetsVariablesAndPassesOnWhatItIsTold) {
  ::setenv("PGSTRATA_TEST_KEPT", "kept", 1);
  ::setenv("PGSTRATA_TEST_ONE", "one", 1);
  ::setenv("PGSTRATA_TEST_ONE_MORE", "more", 1);
  auto options =
      shell("echo $PGSTRATA_TEST_KEPT:$PGSTRATA_TEST_ONE:$PGSTRATA_TEST_ONE_MORE:$PGSTRATA_TEST_NEW");
  options.environment = {{"PGSTRATA_TEST_NEW", "a=b"}, {"PGSTRATA_TEST_KEPT", "changed"}};
  EXPECT_EQ(as_text(run(options).output), "changed:one:more:a=b\n");
  options.inherited_environment = {"PATH", "PGSTRATA_TEST_ONE"};
  EXPECT_EQ(as_text(run(options).output), "changed:one::a=b\n");
  options.inherited_environment = {"PATH", "PGSTRATA_TEST_ONE*"};
  EXPECT_EQ(as_text(run(options).output), "changed:one:more:a=b\n");
  options.inherited_environment = std::vector<std::string>();
  options.environment.clear();
  options.arguments = {"/usr/bin/env"};
  EXPECT_EQ(as_text(run(options).output), "");
}

TEST(Process, StartsInItsFolderAndAppendsToAFile) {
  const auto directory = TemporaryDirectory::create("pgstrata-process-").value();
  auto options = shell("pwd");
  options.working_directory = directory.path();
  options.output = Redirect::append(directory.path() / "log");
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ChildProcess::spawn(options).value().wait().value().success());
  const std::string line = directory.path().native() + "\n";
  EXPECT_EQ(as_text(read_file(directory.path() / "log").value()), line + line);
  EXPECT_EQ(stat_file(directory.path() / "log").value().permissions, 0600U);
  const auto opened = open_file(directory.path() / "opened", O_WRONLY | O_CREAT | O_APPEND).value();
  options.output = Redirect::to(opened);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(ChildProcess::spawn(options).value().wait().value().success());
  EXPECT_EQ(as_text(read_file(directory.path() / "opened").value()), line + line);
}

TEST(Process, SaysWhyItCouldNotStart) {
  const auto error = [](ProcessOptions options) { return ChildProcess::spawn(options).error(); };
  EXPECT_EQ(error({.arguments = {}}).code(), ErrorCode::usage);
  const auto missing = error({.arguments = {"no-such-program"}});
  EXPECT_EQ(missing.code(), ErrorCode::not_found);
  EXPECT_THAT(missing.message(), HasSubstr("no-such-program"));
  EXPECT_EQ(error({.arguments = {"/no/such"}}).code(), ErrorCode::not_found);
  EXPECT_EQ(error({.arguments = {"/etc/passwd"}}).code(), ErrorCode::permission);
  auto options = shell("true");
  options.working_directory = "/no/such/folder";
  EXPECT_THAT(error(options).message(), HasSubstr("/no/such/folder"));
  options = shell("true");
  options.user = "no-such-user";
  EXPECT_EQ(error(options).code(), ErrorCode::not_found);
}

TEST(Process, BecomesAnotherUserWithItsGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may become another user";
  auto options = shell("id -un; id -gn; id -G | wc -w; echo $USER:$LOGNAME");
  options.user = "nobody";
  const auto result = run(options);
  EXPECT_EQ(as_text(result.output), "nobody\nnogroup\n1\nnobody:nobody\n") << as_text(result.errors);
  options = shell("id -u");
  options.user = "root";
  EXPECT_EQ(as_text(run(options).output), "0\n");
}

TEST(Process, ChildrenInheritNoDescriptorsSignalsOrMasks) {
  const int leaked = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  const auto result = run({.arguments = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}});
  ::sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  ::signal(SIGUSR1, SIG_DFL);
  EXPECT_EQ(as_text(result.output), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  const auto open_files = run({.arguments = {"ls", "/proc/self/fd"}});
  EXPECT_EQ(as_text(open_files.output), "0\n1\n2\n3\n") << "3 is the folder that ls reads";
  ::close(leaked);
}

TEST(Process, KillsAndTellsHowItEnded) {
  auto child = ChildProcess::spawn({.arguments = {"sleep", "1000"}}).value();
  EXPECT_FALSE(child.wait_for(std::chrono::milliseconds(0)).value());
  ASSERT_TRUE(child.signal(SIGTERM));
  const auto status = child.wait_for(std::chrono::hours(1)).value();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->signal, SIGTERM);
  EXPECT_EQ(status->describe(), "was killed by signal 15 (Terminated)");
  EXPECT_TRUE(child.signal(SIGTERM)) << "one that has ended";
}

TEST(Process, DroppingItKillsTheWholeSession) {
  pid_t grandchild = 0;
  {
    auto options = shell("sleep 1000 & echo $!; wait");
    options.new_session = true;
    options.output = Redirect::pipe();
    auto child = ChildProcess::spawn(options).value();
    Bytes line(20);
    line.resize(read_some(child.output(), line).value());
    grandchild = std::stoi(std::string(as_text(line)));
    EXPECT_EQ(::kill(grandchild, 0), 0);
    // The pipe closes when the last process that holds it has gone.
    FileDescriptor output = std::move(child.output());
    child = ChildProcess::spawn(shell("true")).value();
    Bytes rest(1);
    EXPECT_EQ(read_some(output, rest).value(), 0U);
  }
}

TEST(Process, CancellationEndsAWaitAndKillsACommand) {
  Cancellation cancellation;
  cancellation.request();
  auto child = ChildProcess::spawn({.arguments = {"sleep", "1000"}}).value();
  EXPECT_EQ(child.wait_for(std::chrono::hours(1), &cancellation).error().code(), ErrorCode::cancelled);
  EXPECT_EQ(::kill(child.pid(), 0), 0) << "it goes on";
  const auto command = run_command({.arguments = {"sleep", "1000"}}, {.cancellation = &cancellation});
  EXPECT_EQ(command.error().code(), ErrorCode::cancelled);
}

}  // namespace
}  // namespace pgstrata
