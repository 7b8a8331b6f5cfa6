// What `backup` and `stream` have in common.
#pragma once

#include <optional>
#include <string>

#include "app/registered_cluster.h"
#include "cli/command.h"

namespace pgstrata {

struct SourceFlags {
  std::string cluster;
  std::optional<std::string> url;
  bool new_primary = false;
};

// CLUSTER, --url and --new-primary; `flags` is borrowed for the life of the command.
void add_source_flags(CLI::App& command, SourceFlags& flags);

// The work on that cluster; it borrows clock and cancellation from the context, and the repository.
[[nodiscard]] Result<SourceWork> source_work(const CommandContext& context, const Repository& repository,
                                             const SourceFlags& flags);

}  // namespace pgstrata
