// An overlay as a file system that the kernel shows: each call of the kernel's is one of the overlay's.
//
// The kernel caches pages, names and attributes for as long as it likes (nobody but the kernel changes what
// is here) and writes pages back in its own time: the writeback cache, without which PostgreSQL would run at a
// third of its speed. Files need no opening, so none has a handle.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "branch/overlay.h"

namespace pgstrata {

struct FuseMountOptions {
  std::filesystem::path mount_point;  // an empty folder
  // Whom all files belong to. Others than this process's user come in only when it is root.
  uid_t user = 0;
  gid_t group = 0;
  // Folders in which nothing is made, renamed or removed, whoever asks: what is relied upon to be there, or
  // not to be, is nobody else's to change. Where the root is one, it belongs to this process's user. The caller
  // holds a reference to each.
  std::vector<NodeId> fixed_folders = {};
};

// Whether this process may mount one here. Error: unsupported (no /dev/fuse, no fusermount3), with what to do
// instead.
[[nodiscard]] Result<void> check_fuse();

class FuseMount {
 public:
  struct State;

  // Mounted when it returns; requests wait for serve(). `overlay` is borrowed. Errors: those of check_fuse;
  // failed.
  static Result<std::unique_ptr<FuseMount>> mount(Overlay& overlay, const FuseMountOptions& options);
  // Unmounts.
  ~FuseMount();
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;

  // Answers the kernel from several threads until somebody unmounts it, or SIGTERM. Error: failed.
  Result<void> serve();

 private:
  explicit FuseMount(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Takes away a mount, be its process alive or dead. None there is no error. `detach`: also while it is in use.
// Errors: busy, with who uses it; failed.
[[nodiscard]] Result<void> unmount_fuse(const std::filesystem::path& mount_point, bool detach);
// Whether a FUSE file system is mounted there.
[[nodiscard]] Result<bool> is_fuse_mounted(const std::filesystem::path& mount_point);

}  // namespace pgstrata
