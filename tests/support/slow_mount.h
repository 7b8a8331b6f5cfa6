// A folder as one sees it over a slow network: a FUSE mount of it in which each read takes a while,
// and that says how much was read.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include <sys/types.h>

namespace pgstrata::testing {

class SlowMount {
 public:
  // But for tails of WAL, which grow: each command has to look at them.
  struct Reads {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
  };

  // Each read reaches it: the kernel keeps no content. Serves in a process of its own. Throws TestFailure.
  SlowMount(std::filesystem::path folder, std::filesystem::path mount_point,
            std::chrono::microseconds each_read);
  ~SlowMount();
  SlowMount(const SlowMount&) = delete;
  SlowMount& operator=(const SlowMount&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return mount_point_; }
  // Since it was last asked.
  [[nodiscard]] Reads take_reads();

 private:
  struct Shared;

  const std::filesystem::path mount_point_;
  Shared* shared_;  // with the process that serves
  pid_t server_ = -1;
};

}  // namespace pgstrata::testing
