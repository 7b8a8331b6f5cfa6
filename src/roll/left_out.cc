#include <algorithm>
#include <array>

#include "roll/overlay_store.h"

namespace pgstrata {
namespace {

// As sendDir of src/backend/backup/basebackup.c has them, with what recovery and branches add; pg_wal because
// a snapshot holds no WAL.
constexpr std::array<std::string_view, 9> emptied_folders{"pg_stat_tmp", "pg_replslot", "pg_dynshmem",
                                                          "pg_notify",   "pg_serial",   "pg_snapshots",
                                                          "pg_subtrans", "pg_wal",      "pgsql_tmp"};
constexpr std::array<std::string_view, 10> files{
    "postmaster.pid", "postmaster.opts",  "standby.signal", "recovery.signal",    "promote",
    "backup_label",   "backup_label.old", "tablespace_map", "tablespace_map.old", "current_logfiles"};
// Everything that begins so, in whichever folder.
constexpr std::array<std::string_view, 3> prefixes{"pg_internal.init", "pgsql_tmp",
                                                   "postgresql.auto.conf.tmp"};
// What pg_wal keeps: the folders that a server expects there.
constexpr std::array<std::string_view, 2> wal_folders{"pg_wal/archive_status", "pg_wal/summaries"};

}  // namespace

bool left_out_of_snapshots(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const auto first = path.substr(0, path.find('/'));
  if (std::ranges::find(wal_folders, path) != wal_folders.end()) return false;
  if (path != first && std::ranges::find(emptied_folders, first) != emptied_folders.end()) return true;
  if (path == first && std::ranges::find(files, path) != files.end()) return true;
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace pgstrata
