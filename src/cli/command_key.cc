#include <memory>

#include "app/repository_keys.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

constexpr const char* key_list_details =
    R"(Each key slot opens the whole repository with a secret of its own.

Example:
  pgstrata key list --repo /srv/backup --key-file ~/pgstrata.key)";

constexpr const char* key_add_details =
    R"(The repository is opened with a key it has (--key-file and so on) and gets one more.

Examples:
  pgstrata key add --repo /srv/backup --key-file ~/pgstrata.key --new-key-file /root/second.key
  NEW='...' pgstrata key add --repo /srv/backup --key-file ~/pgstrata.key --new-passphrase-env NEW)";

constexpr const char* key_remove_details =
    R"(Neither the last slot can be removed nor the one that opened the repository: open it with another key.
Whoever had copied the repository's key before keeps it: a key that
was stolen together with the repository calls for a new repository.

Example:
  pgstrata key remove 1f2e3d4c --repo /srv/backup --key-file /root/second.key

Exit codes: 0 removed, 2 it is the last one or in use by this command, 3 no such slot.)";

Json slot_to_json(const KeySlotInfo& slot) {
  return {{"id", slot.id}, {"kind", to_string(slot.kind)}, {"created", to_rfc3339(slot.created)}};
}

Result<int> run_list(const CommandContext& context) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const auto slots, repository.key_slots());
  Json list = Json::array();
  Table table({{.title = "SLOT"}, {.title = "KIND"}, {.title = "CREATED"}});
  for (const KeySlotInfo& slot : slots) {
    list.push_back(slot_to_json(slot));
    table.add({slot.id, std::string(to_string(slot.kind)), human_time(slot.created)});
  }
  context.print({{"key_slots", std::move(list)}}, table.text());
  return 0;
}

struct NewKeyFlags {
  std::optional<std::string> key_file;
  std::optional<std::string> passphrase_env;
};

Result<KeyChoice> new_key_choice(const NewKeyFlags& flags) {
  if (flags.key_file) return KeyChoice{.key_file = *flags.key_file};
  if (!flags.passphrase_env) return KeyChoice{};
  auto passphrase = process_environment(*flags.passphrase_env);
  if (!passphrase) {
    return fail(ErrorCode::usage, "the variable {} holds no passphrase", *flags.passphrase_env);
  }
  return KeyChoice{.passphrase = std::move(passphrase)};
}

Result<int> run_add(const CommandContext& context, const NewKeyFlags& flags) {
  PGS_TRY(const KeyChoice key, new_key_choice(flags));
  PGS_TRY(Repository repository, context.open_repository());
  PGS_TRY(const AddKeyOutcome outcome, add_repository_key(repository, key, context.clock));
  std::string text = fmt::format("added key slot {} ({})\n", outcome.slot.id, to_string(outcome.slot.kind));
  if (outcome.key_file_generated) text += fmt::format("made the key file {}\n", key.key_file->string());
  context.print(
      {{"key_slot", slot_to_json(outcome.slot)}, {"key_file_generated", outcome.key_file_generated}}, text);
  if (!repository.encrypted()) {
    log_warning(
        "the repository is still not encrypted: --no-encryption opens it without a secret. From now on "
        "each command needs that flag or the new key: the stream's settings, too");
  }
  return 0;
}

Result<int> run_remove(const CommandContext& context, const std::string& id) {
  PGS_TRY(Repository repository, context.open_repository());
  PGS_CHECK(repository.remove_key_slot(id));
  context.print({{"removed", id}}, fmt::format("removed key slot {}\n", id));
  return 0;
}

}  // namespace

void add_key_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun = add_noun(program, "key", "the keys that open the repository: list, add, remove");
  add_command(*noun, invocation, {.name = "list", .summary = "the key slots", .details = key_list_details},
              run_list);

  const auto flags = std::make_shared<NewKeyFlags>();  // shared with the action, which outlives this call
  CLI::App* add =
      add_command(*noun, invocation,
                  {.name = "add", .summary = "add a key file or a passphrase", .details = key_add_details},
                  [flags](const CommandContext& context) { return run_add(context, *flags); });
  auto* file =
      add->add_option("--new-key-file", flags->key_file, "the key to add; made when it does not exist")
          ->type_name("FILE");
  add->add_option("--new-passphrase-env", flags->passphrase_env, "variable that holds the passphrase to add")
      ->type_name("VARIABLE")
      ->excludes(file);

  const auto id = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* remove = add_command(
      *noun, invocation, {.name = "remove", .summary = "remove a key slot", .details = key_remove_details},
      [id](const CommandContext& context) { return run_remove(context, *id); });
  remove->add_option("SLOT", *id, "the slot's id, as `pgstrata key list` shows it")->required();
}

}  // namespace pgstrata
