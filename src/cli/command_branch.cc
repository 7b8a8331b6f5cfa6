#include <memory>

#include <unistd.h>

#include "branch/mount_process.h"
#include "cli/branch_arguments.h"
#include "cli/commands.h"
#include "cli/duration_argument.h"
#include "cli/human.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

Result<int> run_branch_list(const CommandContext& context, const std::string& cluster) {
  expire_branches(context, cluster);
  PGS_TRY(const auto branches, list_branches(context.settings.state_directory, cluster));
  Table table({{.title = "BRANCH"},
               {.title = "MOMENT"},
               {.title = "AGE"},
               {.title = "OVERLAY", .align = Align::right},
               {.title = "WAL", .align = Align::right},
               {.title = "STATE"},
               {.title = "EXPIRES"}});
  Json json = Json::array();
  std::string troubles;
  const auto now = context.clock.now();
  for (const auto& branch : branches) {
    const auto& record = branch.record;
    json.push_back(branch_json(home_of(context, {record.cluster, record.name}), branch));
    table.add({record.name, human_time(record.moment), human_duration(now - record.created),
               human_size(branch.overlay_bytes), human_size(branch.wal_bytes),
               fmt::format("{}{}", to_string(branch.state), record.read_only ? ", read-only" : ""),
               record.expires ? human_time(*record.expires) : "-"});
    if (branch.trouble.empty()) continue;
    troubles += fmt::format("{0} is broken: {1}\nnext: `pgstrata branch start {2} {0}`\n", record.name,
                            branch.trouble, cluster);
  }
  context.print({{"cluster", cluster}, {"branches", std::move(json)}},
                branches.empty() ? fmt::format("{} has no branch in \"{}\"\n", cluster,
                                               (context.settings.state_directory / "branches").native())
                                 : table.text() + troubles);
  return 0;
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
  PGS_CHECK(known_branch(context, branch));
  PGS_TRY(const auto sight, look_at_branch(home_of(context, branch)));
  const auto& record = sight.record;
  if (sight.state != BranchState::running && sight.state != BranchState::recovering) {
    return std::unexpected(make_error(ErrorCode::failed, "branch \"{}\" does not run: it is {}", record.name,
                                      to_string(sight.state))
                               .with_hint(sight.state == BranchState::promoted
                                              ? fmt::format("It is \"{}\" now.", record.promoted_to)
                                              : fmt::format("Start it: `pgstrata branch start {} {}`.",
                                                            branch.cluster, record.name)));
  }
  PGS_TRY(const auto psql, find_program("psql"));
  // Not as an argument: what the user gives for a database would push it aside, and psql go to its default
  // server.
  for (const auto* name :
       {"PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS", "PGREQUIREAUTH", "PGCHANNELBINDING"})
    ::unsetenv(name);
  const std::vector<std::pair<const char*, std::string>> place{
      {"PGHOST", home_of(context, branch).socket_folder().native()},
      {"PGPORT", std::to_string(record.port)},
      {"PGUSER", record.superuser},
      {"PGDATABASE", "postgres"}};
  for (const auto& [name, value] : place) ::setenv(name, value.c_str(), 1);
  std::vector<std::string> words{psql.native()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(psql.c_str(), pointers.data());
  return std::unexpected(error_from_errno(errno, "run psql"));
}

Result<int> run_stop(const CommandContext& context, const BranchName& branch) {
  expire_branches(context, branch.cluster, branch.name);
  const auto home = home_of(context, branch);
  PGS_TRY(const auto record, stop_branch(home));
  context.print(branch_json(home, record), fmt::format("stopped branch \"{}\"\n", record.name));
  return 0;
}

Result<int> run_start(const CommandContext& context, const BranchName& branch) {
  expire_branches(context, branch.cluster, branch.name);
  const auto home = home_of(context, branch);
  PGS_CHECK(known_branch(context, branch));
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto record, start_branch_of(repository, branch.cluster, home, context.cancellation));
  context.print(branch_json(home, record), socket_url(home, record) + "\n");
  return 0;
}

Result<int> run_delete(const CommandContext& context, const BranchName& branch) {
  PGS_CHECK(delete_branch_of(home_of(context, branch)));
  context.print({{"cluster", branch.cluster}, {"name", branch.name}, {"deleted", true}},
                fmt::format("deleted branch \"{}\"\n", branch.name));
  return 0;
}

Result<int> run_rename(const CommandContext& context, const BranchName& branch, const std::string& new_name) {
  expire_branches(context, branch.cluster, branch.name);
  PGS_CHECK(rename_branch(context.settings.state_directory, home_of(context, branch), new_name));
  context.print({{"cluster", branch.cluster}, {"name", new_name}},
                fmt::format("renamed branch \"{}\" to \"{}\"\n", branch.name, new_name));
  return 0;
}

Result<int> run_set_expiration(const CommandContext& context, const BranchName& branch,
                               const std::optional<std::string>& expires) {
  expire_branches(context, branch.cluster, branch.name);
  std::optional<Timestamp> moment;
  if (expires) {
    PGS_TRY(const auto span, parse_duration_argument(*expires));
    moment = context.clock.now() + span;
  }
  const auto home = home_of(context, branch);
  PGS_TRY(const auto record, set_expiration(home, moment));
  context.print(branch_json(home, record),
                record.expires
                    ? fmt::format("branch \"{}\" expires at {}\n", record.name, human_time(*record.expires))
                    : fmt::format("branch \"{}\" does not expire\n", record.name));
  return 0;
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
                              "runs.\n\nExample:\n  pgstrata branch list app\n\nExit codes: 0 listed."},
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
       .details = "As the cluster's superuser, over the branch's socket. What follows \"--\" is psql's: its "
                  "database is postgres unless -d says another.\n\n"
                  "Example:\n  pgstrata branch psql app look -- -d shop -c 'SELECT count(*) FROM orders'"},
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
       .details = "Example:\n  pgstrata branch rename app look before-the-migration\n\nExit codes: 0 "
                  "renamed, 1 the name is taken, 3 no such branch, 7 it runs."},
      [branch, new_name](const CommandContext& context) { return run_rename(context, *branch, *new_name); });
  add_branch_name(*command, *branch);
  command->add_option("NEW", *new_name, "the new name")->required();
}

void add_set_expiration(CLI::App& noun, Invocation& invocation) {
  const auto branch = std::make_shared<BranchName>();  // shared with the action, which outlives this call
  const auto expires = std::make_shared<std::optional<std::string>>();  // the same
  CLI::App* command = add_command(
      noun, invocation,
      {.name = "set-expiration",
       .summary = "when a branch is to go by itself",
       .details =
           "From now. Without --expires: never.\n\nExamples:\n  pgstrata branch set-expiration app look "
           "--expires 7d\n  pgstrata branch set-expiration app look\n\nExit codes: 0 set, 2 usage, 3 no "
           "such branch, 7 another command is at work on it."},
      [branch, expires](const CommandContext& context) {
        return run_set_expiration(context, *branch, *expires);
      });
  add_branch_name(*command, *branch);
  command->add_option("--expires", *expires, "delete it after this time, e.g. 7d")->type_name("SPAN");
}

}  // namespace

void add_branch_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun = add_noun(program, "branch",
                            "any moment as a database of its own: create, list, psql, reset, promote, ...");
  add_branch_moment_commands(*noun, invocation);
  add_list(*noun, invocation);
  add_verb(*noun, invocation,
           {.name = "url",
            .summary = "a branch's connection URL, alone",
            .details = "Example:\n  url=$(pgstrata branch url app look) && psql \"$url\"\n\nExit codes: 0 "
                       "printed, 3 no such "
                       "branch."},
           run_url);
  add_psql(*noun, invocation);
  add_verb(*noun, invocation,
           {.name = "stop",
            .summary = "stop a branch; what was written stays",
            .details = "Its server shuts down and its file system is unmounted.\n\nExample:\n  pgstrata "
                       "branch stop app look\n\nExit codes: 0 stopped, 3 no such "
                       "branch, 7 another command is at work on it, or somebody uses its files."},
           run_stop);
  add_verb(*noun, invocation,
           {.name = "start",
            .summary = "start a branch again, also after a crash or a reboot",
            .details = "Every commit that it acknowledged is there.\n\nExample:\n  pgstrata branch start app "
                       "look\n\nExit codes: 0 it runs, 3 no such branch, 7 "
                       "another command is at work on it."},
           run_start);
  add_rename(*noun, invocation);
  add_set_expiration(*noun, invocation);
  add_verb(*noun, invocation,
           {.name = "delete",
            .summary = "delete a branch and what was written in it",
            .details = "Source and repository are not touched.\n\nExample:\n  pgstrata branch delete app "
                       "look\n\nExit codes: 0 deleted, 3 no such branch, 7 another "
                       "command is at work on it."},
           run_delete);
}

void add_mount_branch_command(CLI::App& program, Invocation& invocation) {
  const auto home = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* command = add_plain_command(
      program, invocation,
      {.name = "mount-branch",
       .summary = "serve a branch's files",
       .details = "`pgstrata branch` runs this itself and tells it on its standard input "
                  "what it may read.\n\nExit codes: 0 unmounted, 1 failed."},
      [home](const CommandContext&) -> Result<int> {
        PGS_CHECK(run_mount_process(BranchHome(*home),
                                    [](const std::string& location) { return open_store(location); }));
        return 0;
      });
  command->group("");  // not in the list: nobody types it
  command->add_option("HOME", *home, "the branch's folder")->required();
}

}  // namespace pgstrata
