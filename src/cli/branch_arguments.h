// What the commands on branches have in common.
#pragma once

#include "app/branch_cluster.h"
#include "cli/command.h"

namespace pgstrata {

struct BranchName {
  std::string cluster;
  std::string name;
};

void add_branch_name(CLI::App& command, BranchName& branch);

[[nodiscard]] BranchHome home_of(const CommandContext& context, const BranchName& branch);
// Error: not_found, with those that there are.
[[nodiscard]] Result<BranchRecord> known_branch(const CommandContext& context, const BranchName& branch);

// Deletes the cluster's branches whose time is over: what each command that lists or changes some does first.
// Not the one that the command is about: whoever names it wants it still.
void expire_branches(const CommandContext& context, const std::string& cluster,
                     const std::string& spared = {});

[[nodiscard]] Json branch_json(const BranchHome& home, const BranchRecord& record);
[[nodiscard]] Json branch_json(const BranchHome& home, const BranchSight& sight);

}  // namespace pgstrata
