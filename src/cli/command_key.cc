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
Whoever had copied the repository's key before keeps it: `pgstrata key rotate` draws another one.

Example:
  pgstrata key remove 1f2e3d4c --repo /srv/backup --key-file /root/second.key

Exit codes: 0 removed, 2 it is the last one or in use by this command, 3 no such slot.)";

constexpr const char* key_rotate_details =
    R"(Draws a new repository key, wraps the key of each cluster anew with it and removes the key slots of the former one.
Without --new-key-file or --new-passphrase-env the secret that opens the repository now opens it afterwards.

Slots of other secrets cannot get the new key, as their secrets are not at hand: they are named, nothing is done, and with
--drop-other-slots they are removed. `pgstrata key add` makes new ones afterwards. When it was cut short, the same command
finishes it; meanwhile every slot that is there opens everything. Commands at work go on; one that has to open another
cluster after its own secret lost its slot says so, and has to be started with the new key. Let every machine have this
version of pgstrata first: older ones that are at work know of no rotation.

What it protects from: whoever got hold of the former repository key, or of a secret that opened it, cannot read clusters
that are added from now on, nor, with the former key alone, any that is here.
What it does not protect from: each cluster keeps its own key, as all that is stored is sealed with that. Whoever has the
former repository key and a copy of the clusters/NAME/key of before, as from a copy of the repository, the versions that a
bucket keeps or an older disk image, reads those clusters still, what is added to them from now on included. Against that
help a new cluster (`add` under another name) and `shred` of the old one. Whoever can write to the repository can put old
objects back.

Examples:
  pgstrata key rotate --repo /srv/backup --key-file ~/pgstrata.key
  pgstrata key rotate --repo /srv/backup --key-file ~/pgstrata.key --new-key-file /root/new.key --drop-other-slots

Exit codes: 0 rotated, 2 slots of other secrets stand in the way, 5 a cluster's key is damaged and would be lost, 7 one
with another secret is under way.)";

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

void say_to_keep(const CommandContext& context) {
  context.console.say("");
  context.console.say(
      "KEEP A COPY OF THE KEY FILE AWAY FROM THIS MACHINE, for example in a password manager.");
  context.console.say("Without it nobody, you included, can restore anything.");
}

std::string rotation_text(const KeyRotationOutcome& rotation) {
  std::string text = fmt::format("{} the repository's key; key slot {} ({}) opens it\n",
                                 rotation.resumed ? "finished rotating" : "rotated", rotation.slot.id,
                                 to_string(rotation.slot.kind));
  for (const std::string& id : rotation.removed_slots) text += fmt::format("removed key slot {}\n", id);
  return text +
         fmt::format("wrapped the key of {} anew\n", counted(rotation.clusters, "cluster", "clusters"));
}

struct RotateFlags {
  NewKeyFlags key;
  bool drop_other_slots = false;
};

Result<int> run_rotate(const CommandContext& context, const RotateFlags& flags) {
  PGS_TRY(const KeyChoice key, new_key_choice(flags.key));
  PGS_TRY(Repository repository, context.open_repository());
  PGS_TRY(
      const RotateKeyOutcome outcome,
      rotate_repository_key(repository, key, {.drop_other_slots = flags.drop_other_slots}, context.clock));
  std::string text = rotation_text(outcome.rotation);
  if (outcome.key_file_generated) text += fmt::format("made the key file {}\n", key.key_file->string());
  context.print({{"key_slot", slot_to_json(outcome.rotation.slot)},
                 {"key_file_generated", outcome.key_file_generated},
                 {"removed", outcome.rotation.removed_slots},
                 {"clusters", outcome.rotation.clusters},
                 {"resumed", outcome.rotation.resumed}},
                text);
  if (outcome.key_file_generated) say_to_keep(context);
  return 0;
}

Result<int> run_remove(const CommandContext& context, const std::string& id) {
  PGS_TRY(Repository repository, context.open_repository());
  PGS_CHECK(repository.remove_key_slot(id));
  context.print({{"removed", id}}, fmt::format("removed key slot {}\n", id));
  return 0;
}

void add_new_key_flags(CLI::App& command, NewKeyFlags& flags, const std::string& what) {
  auto* file = command
                   .add_option("--new-key-file", flags.key_file,
                               fmt::format("the key {}; made when it does not exist", what))
                   ->type_name("FILE");
  command
      .add_option("--new-passphrase-env", flags.passphrase_env,
                  fmt::format("variable that holds the passphrase {}", what))
      ->type_name("VARIABLE")
      ->excludes(file);
}

void add_rotate_command(CLI::App& noun, Invocation& invocation) {
  const auto flags = std::make_shared<RotateFlags>();  // shared with the action, which outlives this call
  CLI::App* rotate =
      add_command(noun, invocation,
                  {.name = "rotate", .summary = "draw a new repository key", .details = key_rotate_details},
                  [flags](const CommandContext& context) { return run_rotate(context, *flags); });
  add_new_key_flags(*rotate, flags->key, "that opens it from now on");
  rotate->add_flag("--drop-other-slots", flags->drop_other_slots,
                   "remove the slots of other secrets, which cannot get the new key");
}

}  // namespace

void add_key_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun = add_noun(program, "key", "the keys that open the repository: list, add, remove, rotate");
  add_command(*noun, invocation, {.name = "list", .summary = "the key slots", .details = key_list_details},
              run_list);

  const auto flags = std::make_shared<NewKeyFlags>();  // shared with the action, which outlives this call
  CLI::App* add =
      add_command(*noun, invocation,
                  {.name = "add", .summary = "add a key file or a passphrase", .details = key_add_details},
                  [flags](const CommandContext& context) { return run_add(context, *flags); });
  add_new_key_flags(*add, *flags, "to add");

  const auto id = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* remove = add_command(
      *noun, invocation, {.name = "remove", .summary = "remove a key slot", .details = key_remove_details},
      [id](const CommandContext& context) { return run_remove(context, *id); });
  remove->add_option("SLOT", *id, "the slot's id, as `pgstrata key list` shows it")->required();
  add_rotate_command(*noun, invocation);
}

}  // namespace pgstrata
