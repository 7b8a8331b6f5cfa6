#include <memory>

#include "app/cluster_status.h"
#include "cli/commands.h"
#include "cli/status_shapes.h"

namespace pgstrata {
namespace {

constexpr const char* status_details =
    R"(Says what can be restored, as gap-free ranges computed from what the repository holds, how far behind
it is, what it weighs, who is at work, and what needs doing. The source is asked for two seconds at
most; without an answer the lag in bytes is unknown, and a problem says why.

Examples:
  pgstrata status
  pgstrata status app --output json

Exit codes: 0 also when there are problems (see "problems" in the output).)";

struct StatusFlags {
  std::optional<std::string> cluster;
  bool offline = false;
};

Result<int> run_status(const CommandContext& context, const StatusFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RepositoryStatus status,
          repository_status(repository, flags.cluster, {.ask_source = !flags.offline}, context.clock,
                            context.cancellation));
  context.print(json_status(status), text_status(status));
  return 0;
}

}  // namespace

void add_status_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<StatusFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      program, invocation,
      {.name = "status", .summary = "what can be restored, and problems", .details = status_details},
      [flags](const CommandContext& context) { return run_status(context, *flags); });
  command->add_option("CLUSTER", flags->cluster, "one cluster; all of them without it");
  command->add_flag("--offline", flags->offline, "do not ask the source");
}

}  // namespace pgstrata
