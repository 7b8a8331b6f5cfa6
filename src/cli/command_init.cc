#include "app/init_repository.h"
#include "cli/commands.h"

namespace pgstrata {
namespace {

constexpr const char* init_details =
    R"(Encryption is on unless --no-encryption declines it. A key file is any secret of 32 bytes or
more; one that does not exist is made, readable by its owner alone. Keep a copy of the key, or the
passphrase, away from this machine: without it nobody can restore anything.

Examples:
  pgstrata init --repo /srv/backup --key-file ~/pgstrata.key
  PGSTRATA_PASSPHRASE='...' pgstrata init --repo /srv/backup
  pgstrata init --repo 's3://bucket/pgstrata?endpoint=https://s3.example.net' --key-file ~/pgstrata.key
  pgstrata init --repo /srv/scratch --no-encryption

Exit codes: 0 made, 1 there is one already or the place cannot be written.)";

Json to_json(const InitOutcome& outcome) {
  return {{"repository", outcome.location},
          {"id", outcome.id},
          {"encrypted", outcome.key_slot.kind != KeySlotKind::none},
          {"key_slot",
           {{"id", outcome.key_slot.id},
            {"kind", to_string(outcome.key_slot.kind)},
            {"created", to_rfc3339(outcome.key_slot.created)}}},
          {"key_file", outcome.key_file ? Json(outcome.key_file->string()) : Json()},
          {"key_file_generated", outcome.key_file_generated}};
}

std::string to_text(const InitOutcome& outcome) {
  std::string text = fmt::format("made the repository {} (id {})\n", outcome.location, outcome.id);
  if (outcome.key_file_generated) text += fmt::format("made the key file {}\n", outcome.key_file->string());
  return text;
}

// To the messages, so that it is seen whatever becomes of the output.
void remind(Console& console, const InitOutcome& outcome) {
  switch (outcome.key_slot.kind) {
    case KeySlotKind::none:
      console.say("");
      console.say("This repository is NOT encrypted: whoever can read it can read the databases.");
      break;
    case KeySlotKind::key_file:
      console.say("");
      console.say("KEEP A COPY OF THE KEY FILE AWAY FROM THIS MACHINE, for example in a password manager.");
      console.say("Without it nobody, you included, can restore anything from this repository.");
      break;
    case KeySlotKind::passphrase:
      console.say("");
      console.say("KEEP THE PASSPHRASE WHERE IT SURVIVES THIS MACHINE, for example in a password manager.");
      console.say("Without it nobody, you included, can restore anything from this repository.");
      break;
  }
}

Result<int> run_init(const CommandContext& context) {
  PGS_TRY(const std::string location, required_repository(context.settings));
  PGS_TRY(const InitOutcome outcome,
          init_repository({.location = location, .key = context.settings.key}, context.clock));
  context.print(to_json(outcome), to_text(outcome));
  remind(context.console, outcome);
  return 0;
}

}  // namespace

void add_init_command(CLI::App& program, Invocation& invocation) {
  add_command(program, invocation, {.name = "init", .summary = "make a repository", .details = init_details},
              run_init);
}

}  // namespace pgstrata
