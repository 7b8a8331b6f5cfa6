// Where a branch is kept on this machine: the state folder of pgstrata, never the repository.
//
//   STATE/branches/CLUSTER/.lock   held while the folder of a branch is made
//   STATE/cache/       what is kept of repositories that are far away (near_copies.h)
//   STATE/rolls/       hidden branches of rolls, in a state folder of their own
//   STATE/branches/CLUSTER/NAME/
//     branch.json   what it is (branch_record.h)
//     overlay/      what was written in it
//     fs/           where it is mounted: fs/data is its data directory
//     wal/          what fs/data/pg_wal links to: files of its own, links to fs/wal for what the repository has
//     run/          its socket, for local administrators alone
//     pg_hba.conf, pg_ident.conf, postgresql.conf
//     postgres.log, mount.log, mount.pid, server.pid
//     lock          held by whoever changes the branch
//
// Others than the owner may pass through, as the server's user has to, and read nothing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "restore/no_intrusion.h"
#include "sys/lock_file.h"

namespace pgstrata {

// As a cluster's name: 1 to 48 of a-z, 0-9, "_" and "-", starting with a letter. Error: usage.
[[nodiscard]] Result<void> check_branch_name(std::string_view name);

// Paths alone; nothing is looked at or made.
class BranchHome {
 public:
  BranchHome(const std::filesystem::path& state_directory, std::string_view cluster, std::string_view name);
  explicit BranchHome(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path state_directory() const {
    return path_.parent_path().parent_path().parent_path();
  }
  [[nodiscard]] std::filesystem::path record() const { return path_ / "branch.json"; }
  [[nodiscard]] std::filesystem::path overlay() const { return path_ / "overlay"; }
  [[nodiscard]] std::filesystem::path mount_point() const { return path_ / "fs"; }
  [[nodiscard]] std::filesystem::path data() const { return path_ / "fs" / "data"; }
  [[nodiscard]] std::filesystem::path wal() const { return path_ / "wal"; }
  [[nodiscard]] std::filesystem::path tablespaces() const { return path_ / "fs" / "tablespaces"; }
  [[nodiscard]] std::filesystem::path socket_folder() const { return path_ / "run"; }
  [[nodiscard]] std::filesystem::path server_log() const { return path_ / "postgres.log"; }
  [[nodiscard]] std::filesystem::path mount_log() const { return path_ / "mount.log"; }
  [[nodiscard]] std::filesystem::path mount_process() const { return path_ / "mount.pid"; }
  // Which process its server is: told outside of the mount, which may be dead when that is to be known.
  [[nodiscard]] std::filesystem::path server_process() const { return path_ / "server.pid"; }
  [[nodiscard]] std::filesystem::path lock() const { return path_ / "lock"; }
  [[nodiscard]] std::filesystem::path makers_lock() const { return path_.parent_path() / branches_lock_name; }

 private:
  std::filesystem::path path_;
};

// For whoever changes the branch. Errors: not_found (no such branch: the hint lists those there are); busy
// (somebody else is at it).
[[nodiscard]] Result<LockFile> lock_branch(const BranchHome& home);
// The same of a folder that is no branch yet, or no longer. Error: busy.
[[nodiscard]] Result<LockFile> lock_folder_of(const BranchHome& home);

// A socket's path has an end, and the branch's is in its home. Error: usage.
[[nodiscard]] Result<void> check_socket_path(const BranchHome& home);

// Sorted.
[[nodiscard]] Result<std::vector<std::string>> branch_names(const std::filesystem::path& state_directory,
                                                            std::string_view cluster);

// What the files in a folder and below take on the disk; those that cannot be looked at count nothing.
[[nodiscard]] Result<std::uint64_t> allocated_bytes(const std::filesystem::path& folder);

}  // namespace pgstrata
