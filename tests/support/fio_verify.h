// fio's own proof of a file system: it writes blocks that say where they belong, and reads them back.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace pgstrata::testing {

struct FioVerdict {
  bool passed = false;
  std::string output{};  // what fio said, when it did not pass
};

// Writes files in `directory`, up to 64 MiB each, sequentially and at random, in blocks of 4, 8 and 128 KiB,
// with fsync, and verifies them by crc32c; calls `between`, which may remount; verifies them again, now in a
// process that did not write them. The files stay. fio runs as the server user, who has to be able to write
// there. Some 5 s on a plain directory. Throws TestFailure when that takes minutes.
[[nodiscard]] FioVerdict run_fio_verify(const std::filesystem::path& directory,
                                        const std::function<void()>& between = {});

}  // namespace pgstrata::testing
