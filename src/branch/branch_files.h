// The base of a branch's mount: a snapshot's files and the WAL that its recovery may see.
//
//   data/            the data directory, without pg_wal: a link out of the mount, which the overlay has
//   wal/             the repository's segments
//   tablespaces/OID  each tablespace's folder; data/pg_tblspc/OID are links, which the overlay has
#pragma once

#include "branch/snapshot_files.h"
#include "branch/wal_files.h"

namespace pgstrata {

inline constexpr std::string_view branch_data_folder = "data";
inline constexpr std::string_view branch_wal_folder = "wal";
inline constexpr std::string_view branch_tablespaces_folder = "tablespaces";
inline constexpr std::string_view branch_wal_link = "data/pg_wal";
inline constexpr std::string_view branch_tablespace_links = "data/pg_tblspc/";

// Where the snapshot has a path of the mount; nothing for one that it has nowhere.
[[nodiscard]] std::optional<std::string> path_in_snapshot(std::string_view path);

[[nodiscard]] std::unique_ptr<BaseFiles> open_branch_files(std::unique_ptr<BaseFiles> snapshot,
                                                           std::unique_ptr<BaseFiles> wal);

}  // namespace pgstrata
