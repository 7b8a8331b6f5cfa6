#include "cli/command.h"

#include "cli/help_format.h"
#include "cli/passphrase_prompt.h"
#include "cli/visible_text.h"

namespace pgstrata {
namespace {

// CLI11's own words show the numbers behind the names. Thrown, and not returned: what is returned comes after
// the flag's name and a colon.
std::string check_output_format(const std::string& format) {
  if (format == "table" || format == "json") return {};
  throw CLI::ConversionError(fmt::format("--output is table or json, not {}", format));
}

void add_shared_flags(CLI::App& command, SharedFlags& flags) {
  const std::string repository = repository_group;
  command
      .add_option("--repo", flags.repo, "the repository: a folder, or s3://bucket/prefix?... (PGSTRATA_REPO)")
      ->type_name("URL")
      ->group(repository);
  auto* key_file =
      command.add_option("--key-file", flags.key_file, "file with the repository's key (PGSTRATA_KEY_FILE)")
          ->type_name("FILE")
          ->group(repository);
  auto* passphrase = command
                         .add_option("--passphrase-env", flags.passphrase_env,
                                     "variable that holds the passphrase (default PGSTRATA_PASSPHRASE)")
                         ->type_name("VARIABLE")
                         ->group(repository);
  command.add_flag("--no-encryption", flags.no_encryption, "the repository has no secret")
      ->excludes(key_file)
      ->excludes(passphrase)
      ->group(repository);
  key_file->excludes(passphrase);
  const std::string general = general_group;
  command.add_option("--config", flags.config, "TOML file with settings (PGSTRATA_CONFIG)")
      ->type_name("FILE")
      ->group(general);
  command.add_option("--output", flags.output, "how results are printed: table or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, OutputFormat>{{"table", OutputFormat::table},
                                                                              {"json", OutputFormat::json}})
                      .description(""))
      ->transform(CLI::Validator([](std::string& format) { return check_output_format(format); }, ""))
      ->type_name("FORMAT")
      ->group(general);
  command.add_flag("-v,--verbose", flags.verbose, "show debug messages too")->group(general);
}

constexpr std::string_view exit_codes_of_all = R"(

Exit codes of every command: 2 usage, 3 no such repository, cluster or key file, 5 wrong key, or the
repository is damaged there.)";

CLI::App* add_subcommand(CLI::App& parent, const std::string& name, const std::string& summary) {
  CLI::App* command = parent.add_subcommand(name, summary);
  command->group("Commands");
  command->get_help_ptr()->group(general_group);
  return command;
}

}  // namespace

void CommandContext::print(const Json& json, std::string_view text) const {
  if (output == OutputFormat::json) {
    // Names that are no UTF-8 come from the source's file system.
    console.print(visible_json(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n");
  } else {
    console.print(text);
  }
}

Result<Repository> CommandContext::open_repository() const {
  PGS_TRY(const std::string location, required_repository(settings));
  RepositoryAccess access{.location = location, .key = settings.key};
  access.cancellation = &cancellation;
  if (can_ask()) {
    access.ask_passphrase = [&location] {
      return pgstrata::ask_passphrase(fmt::format("passphrase of the repository {}: ", location));
    };
  }
  return pgstrata::open_repository(access);
}

CLI::App* add_plain_command(CLI::App& parent, Invocation& invocation, const CommandDescription& description,
                            CommandAction action) {
  CLI::App* command = add_subcommand(parent, description.name, description.summary);
  command->footer(description.details);
  command->callback([&invocation, action = std::move(action)] {
    invocation.action = action;
    invocation.needs_settings = false;
  });
  return command;
}

CLI::App* add_command(CLI::App& parent, Invocation& invocation, const CommandDescription& description,
                      CommandAction action) {
  CLI::App* command = add_subcommand(parent, description.name, description.summary);
  add_shared_flags(*command, invocation.flags);
  command->footer(description.details + std::string(exit_codes_of_all));
  command->callback([&invocation, action = std::move(action)] { invocation.action = action; });
  return command;
}

CLI::App* add_noun(CLI::App& parent, const std::string& name, const std::string& summary) {
  CLI::App* noun = add_subcommand(parent, name, summary);
  noun->require_subcommand(1);
  noun->footer(fmt::format("`pgstrata {} VERB --help` says more.", name));
  return noun;
}

CLI::Option* add_cluster_argument(CLI::App& command, std::string& cluster) {
  return command.add_option("CLUSTER", cluster, "the cluster's name")->required();
}

}  // namespace pgstrata
