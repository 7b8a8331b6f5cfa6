#include "storage/disk/network_file_system.h"

#include <algorithm>
#include <array>

#include <linux/magic.h>
#include <sys/vfs.h>

#include "sys/retry.h"

namespace pgstrata {
namespace {

// Those that linux/magic.h does not name: from the list of `stat -f` (coreutils, src/stat.c), which has them
// from each project's own source.
constexpr std::uint32_t beegfs_magic = 0x19830326;
constexpr std::uint32_t gpfs_magic = 0x47504653;
constexpr std::uint32_t lustre_magic = 0x0BD00BD0;
constexpr std::uint32_t panfs_magic = 0xAAD7AAEA;
constexpr std::uint32_t virtualbox_magic = 0x786F4256;

constexpr std::array<std::uint32_t, 16> network_types{
    AFS_FS_MAGIC,     AFS_SUPER_MAGIC, beegfs_magic, CEPH_SUPER_MAGIC, CIFS_SUPER_MAGIC, CODA_SUPER_MAGIC,
    FUSE_SUPER_MAGIC, gpfs_magic,      lustre_magic, NCP_SUPER_MAGIC,  NFS_SUPER_MAGIC,  panfs_magic,
    SMB2_SUPER_MAGIC, SMB_SUPER_MAGIC, V9FS_MAGIC,   virtualbox_magic};

}  // namespace

bool is_network_file_system(std::uint32_t type) {
  return std::ranges::find(network_types, type) != network_types.end();
}

bool is_on_network_file_system(const std::filesystem::path& folder) {
  struct statfs disk {};
  if (retry_interrupted([&] { return ::statfs(folder.c_str(), &disk); }) != 0) return false;
  return is_network_file_system(static_cast<std::uint32_t>(disk.f_type));  // its sign is the machine's
}

}  // namespace pgstrata
