#include <algorithm>
#include <array>

#include "roll/overlay_store.h"

namespace pgstrata {
namespace {

// As sendDir of src/backend/backup/basebackup.c has them, with what recovery and branches add.
constexpr std::array<std::string_view, 8> emptied_folders{"pg_stat_tmp", "pg_replslot", "pg_dynshmem",
                                                          "pg_notify",   "pg_serial",   "pg_snapshots",
                                                          "pg_subtrans", "pgsql_tmp"};
constexpr std::array<std::string_view, 10> files{
    "postmaster.pid", "postmaster.opts",  "standby.signal", "recovery.signal",    "promote",
    "backup_label",   "backup_label.old", "tablespace_map", "tablespace_map.old", "current_logfiles"};
// Everything that begins so, in whichever folder.
constexpr std::array<std::string_view, 3> prefixes{"pg_internal.init", "pgsql_tmp",
                                                   "postgresql.auto.conf.tmp"};

}  // namespace

bool left_out_of_snapshots(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const auto first = path.substr(0, path.find('/'));
  if (path != first && std::ranges::find(emptied_folders, first) != emptied_folders.end()) return true;
  if (path == first && std::ranges::find(files, path) != files.end()) return true;
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

}  // namespace pgstrata
