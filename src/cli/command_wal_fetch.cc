#include <memory>

#include "app/repository_access.h"
#include "cli/commands.h"
#include "restore/wal_fetch.h"

namespace pgstrata {
namespace {

constexpr const char* wal_fetch_details =
    R"(PostgreSQL calls this itself: `pgstrata restore` writes it as restore_command into a restored data
directory, together with the kit that holds what this restore needs and no more.

Exit codes: 0 the file is there, 1 the repository has no such file, 200 something went wrong, which
stops the recovery instead of ending it early.)";

struct WalFetchFlags {
  std::string kit;
  std::string name;
  std::string destination;
};

}  // namespace

void add_wal_fetch_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<WalFetchFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_plain_command(program, invocation,
                        {.name = "wal-fetch",
                         .summary = "hand a WAL file to PostgreSQL's recovery",
                         .details = wal_fetch_details},
                        [flags](const CommandContext&) -> Result<int> {
                          return wal_fetch(flags->kit, flags->name, flags->destination,
                                           [](const std::string& location) { return open_store(location); });
                        });
  command->group("");  // not in the list: nobody types it
  command->add_option("--kit", flags->kit, "the kit in the data directory")->type_name("FILE")->required();
  command->add_option("NAME", flags->name, "the file, %f of restore_command")->required();
  command->add_option("DESTINATION", flags->destination, "where to put it, %p of restore_command")
      ->required();
}

}  // namespace pgstrata
