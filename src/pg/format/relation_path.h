// Which file of a data directory belongs to which relation.
//
// Source: src/common/relpath.c (GetRelationPath), parse_filename_for_nontemp_relation in
// src/backend/storage/file/reinit.c, and sendFile in src/backend/backup/basebackup.c for which files carry
// page checksums. The same from 13 to 18. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace pgstrata {

enum class Fork : std::uint8_t { main = 0, free_space = 1, visibility = 2, init = 3 };
inline constexpr std::uint8_t fork_count = 4;

// The suffix in file names: "", "fsm", "vm", "init".
[[nodiscard]] std::string_view fork_name(Fork fork);

inline constexpr Oid default_tablespace{1663};  // base/
inline constexpr Oid global_tablespace{1664};   // global/, with database 0

// One file of at most 1 GiB of a relation fork.
struct RelationPath {
  RelationFile relation;
  Fork fork = Fork::main;
  std::uint32_t segment = 0;
  auto operator<=>(const RelationPath&) const = default;
};

// The relation behind a path relative to the data directory: "base/5/16384.1", "global/1262",
// "pg_tblspc/16400/PG_15_202209061/5/16385_fsm". Nothing for all else, files of temporary relations
// ("t3_16390") included.
[[nodiscard]] std::optional<RelationPath> parse_relation_path(std::string_view path);

// Whether the server keeps checksums in the pages of this file (when the cluster has them on): all forks of
// relations, and nothing else; pg_control, pg_filenode.map, pg_internal.init and PG_VERSION have none.
[[nodiscard]] bool has_page_checksums(std::string_view path);

}  // namespace pgstrata
