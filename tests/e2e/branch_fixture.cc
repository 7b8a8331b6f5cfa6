#include "e2e/branch_fixture.h"

#include <algorithm>
#include <csignal>

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/digest.h"
#include "support/test_failure.h"
#include "support/wait_until.h"
#include "sys/files.h"

namespace pgstrata::testing {
namespace {

bool is_gone(pid_t pid) {
  const std::string stat = read_text(fmt::format("/proc/{}/stat", pid));
  const auto name_end = stat.rfind(") ");
  return name_end == std::string::npos || stat[name_end + 2] == 'Z';
}

void kill9(pid_t pid, std::string_view what) {
  if (pid <= 0) throw TestFailure(fmt::format("there is no {} to kill", what));
  ::kill(pid, SIGKILL);
  wait_until(fmt::format("the end of the {}", what), [&] { return is_gone(pid); });
}

void detach(const std::filesystem::path& mount_point) {
  if (::geteuid() == 0) {
    ::umount2(mount_point.c_str(), MNT_DETACH);
  } else {
    static_cast<void>(run_program({"/usr/bin/fusermount3", "-uz", mount_point.string()}));
  }
}

}  // namespace

pid_t TestedBranch::process_in(const char* file) const {
  const std::string text = read_text(home_ / file);
  return text.empty() ? 0 : static_cast<pid_t>(std::stol(text));
}

std::string TestedBranch::place() const {
  return fmt::format("host={} port={} user=postgres", (home_ / "run").string(), port());
}

void TestedBranch::kill9_mount_process() const {
  kill9(mount_process(), "mount process");
}

void TestedBranch::kill9_postmaster() const {
  kill9(postmaster(), "postmaster");
}

void TestedBranch::detach_mount() const {
  detach(home_ / "fs");
}

void BranchTest::SetUp() {
  if (::access("/dev/fuse", F_OK) != 0) throw TestFailure("branches need /dev/fuse");
}

void BranchTest::TearDown() {
  const auto folder = path("state") / "branches/app";
  if (!std::filesystem::exists(folder)) return;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_directory()) continue;
    struct stat owner {};
    if (::stat(entry.path().c_str(), &owner) == 0 && owner.st_uid == server_user().uid) {
      const auto run = run_branch("delete", {entry.path().filename()});
      if (run.exit_code != 0) ADD_FAILURE() << run.describe();
    }
    detach(entry.path() / "fs");
  }
}

TestedBranch BranchTest::branch(const std::string& name, std::vector<std::string> arguments) const {
  return moved("create", name, std::move(arguments));
}

Json BranchTest::branch_json(const std::string& verb, const std::string& name,
                             std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"branch", verb, "app", name});
  return json_of(std::move(arguments));
}

ProgramRun BranchTest::run_branch(const std::string& verb, std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"branch", verb, "app"});
  return pgstrata(std::move(arguments));
}

std::string BranchTest::state_of(const std::string& name) const {
  for (const auto& one : listed()) {
    if (one.at("name") == name) return one.at("state");
  }
  return "none";
}

std::vector<std::string> BranchTest::repository_digest() const {
  std::vector<std::string> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(repository())) {
    const std::string name = entry.path().string();
    const bool changes = name.contains("/leases/") || name.contains("/holds/");
    if (!entry.is_regular_file() || changes) continue;
    const auto content = read_file(entry.path());
    lines.push_back(fmt::format("{} {}", name,
                                content ? to_hex(sha256(*content)) : content.error().describe()));
  }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace pgstrata::testing
