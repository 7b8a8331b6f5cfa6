// An advisory lock on a file, held until dropped: at most one holder among all threads and processes that
// ask, also on other machines where the file system shares flock (NFS does).
//
// The file is created empty with mode 0600 when it is missing, and never removed: removing it would let two
// holders in. A symbolic link in its place is refused (failed). The lock ends with the process. Movable;
// belongs to one thread at a time.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

class LockFile {
 public:
  // Waits for its turn: only for locks that are held briefly.
  static Result<LockFile> acquire(const std::filesystem::path& path);
  // Error: busy, when somebody else holds it.
  static Result<LockFile> try_acquire(const std::filesystem::path& path);

 private:
  explicit LockFile(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace pgstrata
