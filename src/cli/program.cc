#include "cli/program.h"

#include <algorithm>
#include <cstdlib>

#include "cli/commands.h"
#include "cli/help_format.h"
#include "cli/log_sink.h"
#include "cli/redact.h"
#include "restore/wal_fetch.h"

namespace pgstrata {
namespace {

constexpr const char* program_details =
    R"(Start here:
  export PGSTRATA_REPO=/srv/backup/app PGSTRATA_KEY_FILE=~/pgstrata.key
  pgstrata init                      # makes both; keep a copy of the key elsewhere
  pgstrata add app --url postgresql://backup@db.example.com
  pgstrata stream app                # for good: leave it running, or enable the service pgstrata-stream@app
  pgstrata backup app
  pgstrata restore app --to /var/lib/postgresql/restored --at "10 minutes ago"

Settings come from flags (after the command), then variables (PGSTRATA_REPO, PGSTRATA_KEY_FILE,
PGSTRATA_PASSPHRASE, PGSTRATA_CONFIG), then ~/.config/pgstrata/pgstrata.toml, then
/etc/pgstrata/pgstrata.toml.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 target outside coverage, 5 repository damaged
or wrong key, 6 check failed, 7 busy. `pgstrata COMMAND --help` says more.)";

// What to do about an error that does not say so itself.
std::string_view usual_hint(ErrorCode code) {
  switch (code) {
    case ErrorCode::damaged:
      return "Bring that object back from a copy of the repository, if there is one; `pgstrata verify` names "
             "all that is damaged and what it costs.";
    case ErrorCode::permission:
      return "Check owner and permissions there, and whether the disk is mounted read-only.";
    case ErrorCode::no_space:
      return "Make room there, then run the same command again.";
    case ErrorCode::unavailable:
      return "Check that the other side runs and can be reached, then run the same command again.";
    default:
      return "";
  }
}

int report(Console& console, const Error& error) {
  console.end_progress();
  console.say(fmt::format("pgstrata: error: {}", redact_passwords(error.describe())));
  const std::string hint = error.hint().empty() ? std::string(usual_hint(error.code())) : error.hint();
  if (!hint.empty()) console.say(fmt::format("hint: {}", redact_passwords(hint)));
  return exit_code(error.code());
}

std::string lower_first(std::string text) {
  // "A subcommand is required" but not "--at excludes --lsn".
  if (text.size() > 1 && std::isupper(static_cast<unsigned char>(text[0])) != 0 &&
      std::isupper(static_cast<unsigned char>(text[1])) == 0) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// The command as far as it was understood.
const CLI::App& innermost(const CLI::App& program) {
  const CLI::App* at = &program;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

// "pgstrata key".
std::string named_command(const CLI::App& program) {
  std::string name = innermost(program).get_name();
  for (const CLI::App* above = innermost(program).get_parent(); above != nullptr;
       above = above->get_parent()) {
    name = above->get_name() + " " + name;
  }
  return name;
}

// The first of what a command did not understand.
std::string unknown_message(const CLI::App& command, const CLI::ParseError& error) {
  for (const CLI::App* above = command.get_parent(); above != nullptr; above = above->get_parent()) {
    if (const auto early = above->remaining(); !early.empty())
      return fmt::format("{} stands before the command: what belongs to a command follows it", early.front());
  }
  const auto unknown = command.remaining();
  if (unknown.empty()) return lower_first(error.what());
  const auto option = std::ranges::find_if(unknown, [](const auto& word) { return word.starts_with('-'); });
  return option != unknown.end() ? fmt::format("there is no option {}", *option)
                                 : fmt::format("\"{}\" is one argument too many", unknown.front());
}

// What CLI11 says, but where something is not known: what that is.
std::string usage_message(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = innermost(program);
  const auto unknown = command.remaining();
  if (command.get_require_subcommand_min() == 0) {
    const bool not_understood = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    return not_understood ? unknown_message(command, error) : lower_first(error.what());
  }
  if (unknown.empty() || unknown.front().starts_with('-')) return "a command is missing";
  return fmt::format("there is no command \"{}\"", unknown.front());
}

// Nothing when there is a command to run; else the exit code.
Result<std::optional<int>> parse(CLI::App& program, std::vector<std::string> arguments, Console& console) {
  std::ranges::reverse(arguments);  // as CLI11 wants them
  try {
    program.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    console.print(program.help());
    return 0;
  } catch (const CLI::CallForVersion& version) {
    console.print(fmt::format("{}\n", version.what()));
    return 0;
  } catch (const CLI::ParseError& error) {
    return std::unexpected(
        make_error(ErrorCode::usage, "{}", usage_message(program, error))
            .with_hint(fmt::format("`{} --help` shows what it takes.", named_command(program))));
  }
  return std::nullopt;
}

Result<int> run_command(const Invocation& invocation, Console& console, ConsoleLog& log,
                        const Cancellation& cancellation) {
  Settings settings;
  if (invocation.needs_settings) {
    PGS_TRY(settings, resolve_settings(invocation.flags, process_environment));
  }
  log.set_threshold(settings.log);
  return invocation.action({.settings = settings,
                            .output = invocation.flags.output,
                            .console = console,
                            .cancellation = cancellation,
                            .clock = system_clock()});
}

Result<int> parse_and_run(const std::vector<std::string>& arguments, Console& console,
                          const Cancellation& cancellation) {
  ConsoleLog log(console, log_style(console, process_environment("JOURNAL_STREAM").has_value()));
  Invocation invocation;
  const auto program = build_program(invocation);
  try {
    PGS_TRY(std::optional<int> code, parse(*program, arguments, console));
    if (!code) {
      PGS_TRY(code, run_command(invocation, console, log, cancellation));
    }
    PGS_CHECK(console.finish());
    return *code;
  } catch (const std::exception& error) {
    // Memory, or a defect: nothing below throws for what the world does.
    return fail(ErrorCode::failed, "internal error: {}", error.what());
  }
}

}  // namespace

std::unique_ptr<CLI::App> build_program(Invocation& invocation) {
  auto program =
      std::make_unique<CLI::App>("Every PostgreSQL commit kept, any second restorable.", "pgstrata");
  program->formatter(std::make_shared<HelpFormat>());
  program->set_version_flag("--version", std::string("pgstrata ") + PGSTRATA_VERSION, "print the version");
  program->set_help_flag("-h,--help", "this text");
  program->option_defaults()->always_capture_default(false);
  program->get_help_ptr()->group(general_group);
  program->get_version_ptr()->group(general_group);
  program->require_subcommand(1);
  program->footer(program_details);
  add_init_command(*program, invocation);
  add_add_command(*program, invocation);
  add_backup_command(*program, invocation);
  add_stream_command(*program, invocation);
  add_status_command(*program, invocation);
  add_snapshot_commands(*program, invocation);
  add_restore_command(*program, invocation);
  add_verify_command(*program, invocation);
  add_prune_command(*program, invocation);
  add_hold_commands(*program, invocation);
  add_repair_command(*program, invocation);
  add_copy_command(*program, invocation);
  add_key_commands(*program, invocation);
  add_shred_command(*program, invocation);
  add_completion_command(*program, invocation);
  add_branch_commands(*program, invocation);
  add_wal_fetch_command(*program, invocation);
  add_mount_branch_command(*program, invocation);
  return program;
}

bool is_mount_branch(const std::vector<std::string>& arguments) {
  return !arguments.empty() && arguments.front() == "mount-branch";
}

bool is_wal_fetch(const std::vector<std::string>& arguments) {
  return !arguments.empty() && arguments.front() == "wal-fetch";
}

int run_program(const std::vector<std::string>& arguments, Console& console,
                const Cancellation& cancellation) {
  const auto outcome = parse_and_run(arguments, console, cancellation);
  if (outcome.has_value()) return *outcome;
  const int code = report(console, outcome.error());
  // Recovery takes most codes for the end of the WAL, and would open the cluster there.
  return is_wal_fetch(arguments) ? wal_fetch_failed : code;
}

}  // namespace pgstrata
