// What verify and repair say of damage, in the same words and shapes.
#pragma once

#include "check/verify.h"
#include "cli/command.h"

namespace pgstrata {

[[nodiscard]] Json json_damage(const std::vector<DamagedObject>& damaged);
[[nodiscard]] Json json_missing(const std::vector<MissingWal>& missing);
[[nodiscard]] Json json_lost(const std::vector<LostCoverage>& lost);

// Lines of text, each with its end.
[[nodiscard]] std::string text_damage(const DamagedObject& object);
[[nodiscard]] std::string text_missing(const std::string& cluster, const MissingWal& wal);
[[nodiscard]] std::string text_lost(const LostCoverage& lost);
[[nodiscard]] std::string text_foreign(const std::vector<std::string>& names);

}  // namespace pgstrata
