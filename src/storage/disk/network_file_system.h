// Whether a folder is on another machine, as far as the kernel tells.
#pragma once

#include <cstdint>
#include <filesystem>

namespace pgstrata {

// By what statfs(2) says of its type (f_type). File systems in user space count as network ones: most that hold
// repositories are (sshfs, s3fs, rclone, GlusterFS, virtiofs), and the kernel does not tell.
[[nodiscard]] bool is_network_file_system(std::uint32_t type);
// Of the one that holds `folder`; false when it cannot be told.
[[nodiscard]] bool is_on_network_file_system(const std::filesystem::path& folder);

}  // namespace pgstrata
