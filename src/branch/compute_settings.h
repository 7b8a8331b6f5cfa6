// What a branch's server is told, and where it can be reached. Internal to the room.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branch/branch_record.h"
#include "pg/server/server_instance.h"

namespace pgstrata {

// What the source's configuration may say, and a copy must not do.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> isolation_settings(std::uint32_t major);

// Of `libraries`, a value of shared_preload_libraries, those that a copy may load: without those whose workers
// go to other servers by what the database says, such as the source itself.
[[nodiscard]] std::string without_reaching_libraries(std::string_view libraries);
// What the branch's server is to preload, where that is not what its configuration says. Errors: those of the
// mount; busy, when another command looks at its files just now; unavailable, when PostgreSQL is asked and does
// not answer.
[[nodiscard]] Result<std::optional<std::string>> other_libraries(const BranchHome& home,
                                                                 const BranchRecord& record,
                                                                 const ServerInstallation& installation);

// What to do about these words of PostgreSQL's; empty where that is not known.
[[nodiscard]] std::string advice_for(std::string_view words);

// `recovering`: on the way to the branch's moment, or a read-only branch that stays there.
[[nodiscard]] Result<ServerOptions> compute_options(const BranchHome& home, const BranchRecord& record,
                                                    const ServerInstallation& installation, bool recovering);

}  // namespace pgstrata
