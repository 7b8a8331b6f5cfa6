#include <memory>

#include "cli/branch_arguments.h"
#include "cli/commands.h"
#include "cli/duration_argument.h"
#include "cli/human.h"
#include "cli/progress_meter.h"
#include "cli/restore_flags.h"
#include "cli/setting_argument.h"
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
  pgstrata branch psql app look
  pgstrata branch create app try --set listen_addresses='*' --expires 7d

Exit codes: 0 open, 1 failed, 2 usage, 3 no PostgreSQL of that major, or no such cluster, 4 the target
cannot be opened, 5 the repository is damaged.)help";

constexpr const char* reset_details =
    R"help(What was written in it goes. Without a target it is again what it was when it was made, or reset last. Its
name, port, settings and expiry stay.

Example:
  pgstrata branch reset app try --at "2026-11-21 09:14:59 UTC"

Exit codes: 0 open, 3 no such branch, 4 the target cannot be opened (the branch is as it was), 7 another command
is at work on it.)help";

constexpr const char* advance_details =
    R"help(A read-only branch goes on to a later moment, from where it is. For an earlier one: `pgstrata branch reset`.

Example:
  pgstrata branch advance app look --to "2026-11-21 09:15:30 UTC"

Exit codes: 0 it is there, 2 it was opened for writes, or the moment lies before its own, 3 no such branch, 4 the
target cannot be reached, 7 another command is at work on it.)help";

constexpr const char* promote_details =
    R"help(Turns the branch, with what was written in it, into a native data directory. It serves reads and writes
meanwhile; then its server stops, what is left is copied, and a server starts on the directory, with the same
port and settings and the roles and passwords of TCP connections as before. The branch is gone then.

The directory's own postgresql.conf is the source's, where the source has it in its data directory; what is
peculiar to this server is in postgresql.auto.conf.

Examples:
  pgstrata branch promote app rescue --to /srv/postgres/rescue
  pgstrata branch promote app rescue --to /srv/rescue --set unix_socket_directories=/run/rescue

Exit codes: 0 promoted, 1 failed (the branch is as it was, or can be started), 2 usage, 3 no such branch, 7
another command is at work on it.)help";

struct CreateFlags {
  BranchName branch;
  TargetFlags target;
  std::optional<std::string> expires;
  bool read_only = false;
  std::vector<std::string> settings;
};

struct MoveFlags {
  BranchName branch;
  TargetFlags target;
};

struct PromoteFlags {
  BranchName branch;
  std::string directory;
  std::vector<std::string> tablespaces;
  std::vector<std::string> settings;
  bool no_start = false;
};

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
  expire_branches(context, flags.branch.cluster);
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

Result<int> print_moved(const CommandContext& context, const BranchRecord& record, std::string_view what) {
  const auto home = home_of(context, {record.cluster, record.name});
  log_info("branch \"{}\" of {} is {} {}; last commit {}", record.name, record.cluster, what, record.target,
           human_time(record.last_commit));
  context.print(branch_json(home, record), socket_url(home, record) + "\n");
  return 0;
}

Result<int> run_reset(const CommandContext& context, const MoveFlags& flags) {
  expire_branches(context, flags.branch.cluster, flags.branch.name);
  PGS_CHECK(known_branch(context, flags.branch));
  std::optional<RecoveryTarget> target;
  PGS_TRY(const auto said, recovery_target(flags.target, context.clock));
  if (has_target(flags.target)) target = said;
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto record, reset_branch_to(repository, flags.branch.cluster, home_of(context, flags.branch),
                                             target, context.cancellation));
  return print_moved(context, record, "back at");
}

Result<int> run_advance(const CommandContext& context, const MoveFlags& flags) {
  expire_branches(context, flags.branch.cluster, flags.branch.name);
  PGS_CHECK(known_branch(context, flags.branch));
  if (!has_target(flags.target)) {
    return std::unexpected(make_error(ErrorCode::usage, "to which moment?")
                               .with_hint("Give it with --to, --lsn, --xid, --restore-point or --latest."));
  }
  PGS_TRY(const auto target, recovery_target(flags.target, context.clock));
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto record, advance_branch_to(repository, flags.branch.cluster,
                                               home_of(context, flags.branch), target, context.cancellation));
  return print_moved(context, record, "advanced to");
}

Result<PromotionOptions> promotion_options(const PromoteFlags& flags) {
  PromotionOptions options;
  if (flags.directory.empty()) return fail(ErrorCode::usage, "--to names no folder");
  std::error_code error;
  options.directory =
      without_last_separator(std::filesystem::absolute(flags.directory, error).lexically_normal());
  if (error)
    return std::unexpected(error_from_errno(error.value(), fmt::format("find \"{}\"", flags.directory)));
  options.start = !flags.no_start;
  for (const auto& mapping : flags.tablespaces) {
    PGS_TRY(auto pair, parse_tablespace_argument(mapping));
    options.tablespace_mappings.push_back(std::move(pair));
  }
  for (const auto& setting : flags.settings) {
    PGS_TRY(auto pair, parse_setting_argument(setting));
    options.settings.push_back(std::move(pair));
  }
  return options;
}

Json promoted_json(const PromotionOptions& options, const PromotedBranch& promoted) {
  Json json{{"cluster", promoted.record.cluster},
            {"name", promoted.record.name},
            {"directory", options.directory.string()},
            {"port", promoted.record.port},
            {"tcp_url", tcp_url(promoted.record)},
            {"url", promoted.url ? Json(promoted.url->without_password().text()) : Json()},
            {"process_id", promoted.process != 0 ? Json(promoted.process) : Json()},
            {"interruption_seconds", Json()},
            {"log_file", promoted.process != 0 ? Json(promoted.log_file.string()) : Json()}};
  if (promoted.process != 0)
    json["interruption_seconds"] = static_cast<double>(promoted.interruption.count()) / 1000;
  return json;
}

std::string promoted_text(const PromotionOptions& options, const PromotedBranch& promoted) {
  const auto directory = options.directory.native();
  if (promoted.process == 0) {
    return fmt::format("promoted branch \"{}\" to {}; start PostgreSQL {} on it as {}\n",
                       promoted.record.name, directory, promoted.record.server_version / 10000,
                       promoted.files.owner.name);
  }
  return fmt::format(
             "promoted branch \"{}\" to {}: process {} serves it on port {}, {:.2f} s after the branch's "
             "server "
             "stopped\n",
             promoted.record.name, directory, promoted.process, promoted.record.port,
             static_cast<double>(promoted.interruption.count()) / 1000) +
         (promoted.url ? promoted.url->without_password().text() + "\n" : "");
}

Result<int> run_promote(const CommandContext& context, const PromoteFlags& flags) {
  expire_branches(context, flags.branch.cluster, flags.branch.name);
  PGS_CHECK(known_branch(context, flags.branch));
  PGS_TRY(auto options, promotion_options(flags));
  PGS_TRY(const Repository repository, context.open_repository());
  ProgressMeter meter(context.console, context.clock);
  meter.begin("promoting");
  options.on_progress = [&](const RestoreProgress& progress) {
    meter.update(progress.bytes_done, progress.bytes_total);
  };
  PGS_TRY(const auto promoted,
          promote_branch_of(repository, flags.branch.cluster, home_of(context, flags.branch), options,
                            context.cancellation));
  context.print(promoted_json(options, promoted), promoted_text(options, promoted));
  return 0;
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

void add_reset(CLI::App& noun, Invocation& invocation) {
  const auto flags = std::make_shared<MoveFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(noun, invocation,
                  {.name = "reset",
                   .summary = "take a branch back to its moment, or to another",
                   .details = reset_details},
                  [flags](const CommandContext& context) { return run_reset(context, *flags); });
  add_branch_name(*command, flags->branch);
  add_target_flags(*command, flags->target, "--at", "; without a target, its own moment");
}

void add_advance(CLI::App& noun, Invocation& invocation) {
  const auto flags = std::make_shared<MoveFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      noun, invocation,
      {.name = "advance", .summary = "take a read-only branch to a later moment", .details = advance_details},
      [flags](const CommandContext& context) { return run_advance(context, *flags); });
  add_branch_name(*command, flags->branch);
  add_target_flags(*command, flags->target, "--to", "");
}

void add_promote(CLI::App& noun, Invocation& invocation) {
  const auto flags = std::make_shared<PromoteFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(noun, invocation,
                  {.name = "promote",
                   .summary = "turn a branch into a native data directory while it serves",
                   .details = promote_details},
                  [flags](const CommandContext& context) { return run_promote(context, *flags); });
  add_branch_name(*command, flags->branch);
  command->add_option("--to", flags->directory, "the data directory to write: empty or missing")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--tablespace", flags->tablespaces,
                   "puts the tablespace that was at FROM to TO, \"=\" in a path as \"\\=\"; repeatable")
      ->type_name("FROM=TO")
      ->expected(1)
      ->take_all();
  command->add_option("--set", flags->settings, "a setting of the server, over the branch's; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
  command->add_flag("--no-start", flags->no_start, "leave starting a server on it to somebody else");
}

}  // namespace

void add_branch_moment_commands(CLI::App& noun, Invocation& invocation) {
  add_create(noun, invocation);
  add_reset(noun, invocation);
  add_advance(noun, invocation);
  add_promote(noun, invocation);
}

}  // namespace pgstrata
