// A disk that can be full.
#pragma once

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <sys/mount.h>

#include "support/child_process.h"
#include "support/test_failure.h"

namespace pgstrata::testing {

// A file system of limited size, of the server user.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path folder, int size_mib) : folder_(std::move(folder)) {
    const auto& user = server_user();
    const std::string options = fmt::format("size={}m,mode=0700,uid={},gid={}", size_mib, user.uid, user.gid);
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, options.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  void resize(int size_mib) const {
    const std::string options = fmt::format("size={}m", size_mib);
    if (::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, options.c_str()) != 0)
      throw TestFailure("could not make the disk larger");
  }

 private:
  std::filesystem::path folder_;
  bool mounted_;
};

#define NEEDS_DISK(disk) \
  if (!(disk)->mounted()) GTEST_SKIP() << "SKIPPED: this user may not mount a tmpfs; run as root"

}  // namespace pgstrata::testing
