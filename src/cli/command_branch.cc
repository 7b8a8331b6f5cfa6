#include <memory>

#include <unistd.h>

#include "app/branch_cluster.h"
#include "branch/mount_process.h"
#include "cli/commands.h"
#include "cli/duration_argument.h"
#include "cli/human.h"
#include "cli/setting_argument.h"
#include "cli/shapes.h"
#include "cli/table.h"
#include "cli/target_flags.h"

namespace pgstrata {
namespace {

constexpr const char* create_details =
    R"help(Opens the cluster as it was at a moment, as a PostgreSQL of its own that can be read and written, within
seconds whatever its size: pages are read from the repository as they are asked for, and what is written
stays on this machine, in the branch. Source and repository are not touched. Without a target: the latest
moment.

Prints the URL. It leads over a socket that only root and the server's user can reach, as any role without
a password; over TCP (localhost, the same port) roles and passwords are the source's.

Examples:
  pgstrata branch create app look --at "2026-11-21 09:14:59 UTC"
  psql "$(pgstrata branch url app look)"
  pgstrata branch create app try --set listen_addresses='*' --expires 7d

Exit codes: 0 open, 1 failed, 2 usage, 3 no PostgreSQL of that major, or no such cluster, 4 the target
cannot be opened, 5 the repository is damaged.)help";

struct BranchName {
  std::string cluster;
  std::string name;
};

struct CreateFlags {
  BranchName branch;
  TargetFlags target;
  std::optional<std::string> expires;
  bool read_only = false;
  std::vector<std::string> settings;
};

BranchHome home_of(const CommandContext& context, const BranchName& branch) {
  return {context.settings.state_directory, branch.cluster, branch.name};
}

Json branch_json(const BranchHome& home, const BranchRecord& record) {
  Json json{{"cluster", record.cluster},
            {"name", record.name},
            {"url", socket_url(home, record)},
            {"tcp_url", tcp_url(record)},
            {"moment", json_time(record.moment)},
            {"target", record.target},
            {"last_commit", json_time(record.last_commit)},
            {"lsn", json_lsn(record.end_lsn)},
            {"snapshot", record.snapshot},
            {"read_only", record.read_only},
            {"created", json_time(record.created)},
            {"expires", record.expires ? json_time(*record.expires) : Json()},
            {"port", record.port},
            {"data_directory", home.data().string()},
            {"log_file", home.server_log().string()}};
  return json;
}

Json branch_json(const BranchHome& home, const BranchSight& sight) {
  auto json = branch_json(home, sight.record);
  json["state"] = to_string(sight.state);
  json["overlay_bytes"] = sight.overlay_bytes;
  return json;
}

Result<int> run_create(const CommandContext& context, const CreateFlags& flags) {
  BranchRequest request;
  request.cluster = flags.branch.cluster;
  request.branch.name = flags.branch.name;
  request.branch.state_directory = context.settings.state_directory;
  request.branch.read_only = flags.read_only;
  PGS_TRY(request.target, recovery_target(flags.target, context.clock));
  if (flags.expires) {
    PGS_TRY(const auto span, parse_duration_argument(*flags.expires));
    request.branch.expires = context.clock.now() + span;
  }
  for (const auto& setting : flags.settings) {
    PGS_TRY(auto pair, parse_setting_argument(setting));
    request.branch.settings.push_back(std::move(pair));
  }
  PGS_TRY(const Repository repository, context.open_repository());
  request.branch.repository = repository.store().describe();
  request.on_plan = [](const RecoveryPlan& plan) {
    for (const auto& warning : plan.warnings) log_warning("{}", warning);
  };
  PGS_TRY(const auto outcome, create_branch_at(repository, request, context.cancellation));
  const auto home = home_of(context, flags.branch);
  log_info("branch \"{}\" of {} is open at {}; last commit {}", outcome.record.name, outcome.record.cluster,
           outcome.record.target, human_time(outcome.record.last_commit));
  context.print(branch_json(home, outcome.record), socket_url(home, outcome.record) + "\n");
  return 0;
}

Result<int> run_branch_list(const CommandContext& context, const std::string& cluster) {
  PGS_TRY(const auto branches, list_branches(context.settings.state_directory, cluster));
  Table table({{.title = "BRANCH"},
               {.title = "MOMENT"},
               {.title = "AGE"},
               {.title = "OVERLAY", .align = Align::right},
               {.title = "STATE"},
               {.title = "EXPIRES"}});
  Json json = Json::array();
  const auto now = context.clock.now();
  for (const auto& branch : branches) {
    const auto& record = branch.record;
    json.push_back(branch_json(home_of(context, {record.cluster, record.name}), branch));
    table.add({record.name, human_time(record.moment), human_duration(now - record.created),
               human_size(branch.overlay_bytes),
               fmt::format("{}{}", to_string(branch.state), record.read_only ? ", read-only" : ""),
               record.expires ? human_time(*record.expires) : "-"});
  }
  context.print({{"cluster", cluster}, {"branches", std::move(json)}},
                branches.empty() ? fmt::format("{} has no branch on this machine\n", cluster) : table.text());
  return 0;
}

Result<BranchRecord> known_branch(const CommandContext& context, const BranchName& branch) {
  auto record = get_branch_record(home_of(context, branch));
  if (record || record.error().code() != ErrorCode::not_found) return record;
  PGS_CHECK(lock_branch(home_of(context, branch)));  // says so, and which there are
  return record;
}

Result<int> run_url(const CommandContext& context, const BranchName& branch) {
  PGS_TRY(const auto record, known_branch(context, branch));
  const auto home = home_of(context, branch);
  context.print({{"url", socket_url(home, record)}, {"tcp_url", tcp_url(record)}},
                socket_url(home, record) + "\n");
  return 0;
}

Result<int> run_psql(const CommandContext& context, const BranchName& branch,
                     const std::vector<std::string>& arguments) {
  PGS_TRY(const auto record, known_branch(context, branch));
  PGS_TRY(const auto psql, find_program("psql"));
  std::vector<std::string> words{psql.native(), socket_url(home_of(context, branch), record)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(psql.c_str(), pointers.data());
  return std::unexpected(error_from_errno(errno, "run psql"));
}

Result<int> run_stop(const CommandContext& context, const BranchName& branch) {
  const auto home = home_of(context, branch);
  PGS_TRY(const auto record, stop_branch(home));
  context.print(branch_json(home, record), fmt::format("stopped branch \"{}\"\n", record.name));
  return 0;
}

Result<int> run_start(const CommandContext& context, const BranchName& branch) {
  const auto home = home_of(context, branch);
  PGS_CHECK(known_branch(context, branch));
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto record, start_branch_of(repository, branch.cluster, home, context.cancellation));
  context.print(branch_json(home, record), socket_url(home, record) + "\n");
  return 0;
}

Result<int> run_delete(const CommandContext& context, const BranchName& branch) {
  PGS_CHECK(delete_branch(home_of(context, branch)));
  context.print({{"cluster", branch.cluster}, {"name", branch.name}, {"deleted", true}},
                fmt::format("deleted branch \"{}\"\n", branch.name));
  return 0;
}

Result<int> run_rename(const CommandContext& context, const BranchName& branch, const std::string& new_name) {
  PGS_CHECK(rename_branch(context.settings.state_directory, home_of(context, branch), new_name));
  context.print({{"cluster", branch.cluster}, {"name", new_name}},
                fmt::format("renamed branch \"{}\" to \"{}\"\n", branch.name, new_name));
  return 0;
}

void add_branch_name(CLI::App& command, BranchName& branch) {
  add_cluster_argument(command, branch.cluster);
  command.add_option("NAME", branch.name, "the branch")->required();
}

void add_create(CLI::App& noun, Invocation& invocation) {
  const auto flags = std::make_shared<CreateFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(noun, invocation,
                  {.name = "create", .summary = "open any moment as a branch", .details = create_details},
                  [flags](const CommandContext& context) { return run_create(context, *flags); });
  add_branch_name(*command, flags->branch);
  add_target_flags(*command, flags->target);
  command->add_option("--expires", flags->expires, "delete it after this time, e.g. 7d")->type_name("SPAN");
  command->add_flag("--read-only", flags->read_only, "stay paused at the moment, open for reads");
  command->add_option("--set", flags->settings, "a setting of its server, e.g. work_mem=64MB; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
}

using RunOnBranch = Result<int> (*)(const CommandContext& context, const BranchName& branch);

void add_verb(CLI::App& noun, Invocation& invocation, const CommandDescription& description,
              RunOnBranch run) {
  const auto branch = std::make_shared<BranchName>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(noun, invocation, description,
                  [branch, run](const CommandContext& context) { return run(context, *branch); });
  add_branch_name(*command, *branch);
}

void add_list(CLI::App& noun, Invocation& invocation) {
  const auto cluster = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(noun, invocation,
                  {.name = "list",
                   .summary = "a cluster's branches on this machine",
                   .details = "What each is a branch of, what was written in it, and whether it "
                              "runs.\n\nExit codes: 0 listed."},
                  [cluster](const CommandContext& context) { return run_branch_list(context, *cluster); });
  add_cluster_argument(*command, *cluster);
}

void add_psql(CLI::App& noun, Invocation& invocation) {
  const auto branch = std::make_shared<BranchName>();  // shared with the action, which outlives this call
  const auto arguments = std::make_shared<std::vector<std::string>>();  // the same
  CLI::App* command = add_command(
      noun, invocation,
      {.name = "psql",
       .summary = "psql on a branch",
       .details = "As the cluster's superuser, over the branch's socket. What follows \"--\" is psql's.\n\n"
                  "Example:\n  pgstrata branch psql app look -- -c 'SELECT count(*) FROM orders'"},
      [branch, arguments](const CommandContext& context) { return run_psql(context, *branch, *arguments); });
  add_branch_name(*command, *branch);
  command->add_option("ARGUMENT", *arguments, "for psql");
}

void add_rename(CLI::App& noun, Invocation& invocation) {
  const auto branch = std::make_shared<BranchName>();     // shared with the action, which outlives this call
  const auto new_name = std::make_shared<std::string>();  // the same
  CLI::App* command = add_command(
      noun, invocation,
      {.name = "rename",
       .summary = "give a stopped branch another name",
       .details = "Exit codes: 0 renamed, 1 the name is taken, 3 no such branch, 7 it runs."},
      [branch, new_name](const CommandContext& context) { return run_rename(context, *branch, *new_name); });
  add_branch_name(*command, *branch);
  command->add_option("NEW", *new_name, "the new name")->required();
}

}  // namespace

void add_branch_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun =
      add_noun(program, "branch", "any moment as a database of its own: create, list, url, psql, stop, ...");
  add_create(*noun, invocation);
  add_list(*noun, invocation);
  add_verb(
      *noun, invocation,
      {.name = "url",
       .summary = "a branch's connection URL, alone",
       .details = "Example:\n  psql \"$(pgstrata branch url app look)\"\n\nExit codes: 0 printed, 3 no such "
                  "branch."},
      run_url);
  add_psql(*noun, invocation);
  add_verb(*noun, invocation,
           {.name = "stop",
            .summary = "stop a branch; what was written stays",
            .details =
                "Its server shuts down and its file system is unmounted.\n\nExit codes: 0 stopped, 3 no such "
                "branch, 7 another command is at work on it."},
           run_stop);
  add_verb(
      *noun, invocation,
      {.name = "start",
       .summary = "start a branch again, also after a crash or a reboot",
       .details = "Every commit that it acknowledged is there.\n\nExit codes: 0 it runs, 3 no such branch, 7 "
                  "another command is at work on it."},
      run_start);
  add_rename(*noun, invocation);
  add_verb(
      *noun, invocation,
      {.name = "delete",
       .summary = "delete a branch and what was written in it",
       .details =
           "Source and repository are not touched.\n\nExit codes: 0 deleted, 3 no such branch, 7 another "
           "command is at work on it."},
      run_delete);
}

void add_mount_branch_command(CLI::App& program, Invocation& invocation) {
  const auto home = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* command = add_plain_command(
      program, invocation,
      {.name = "mount-branch",
       .summary = "serve a branch's files",
       .details = "`pgstrata branch` runs this itself and tells it on its standard input what it may read."},
      [home](const CommandContext&) -> Result<int> {
        PGS_CHECK(run_mount_process(*home, open_store));
        return 0;
      });
  command->group("");  // not in the list: nobody types it
  command->add_option("HOME", *home, "the branch's folder")->required();
}

}  // namespace pgstrata
