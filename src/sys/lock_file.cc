#include "sys/lock_file.h"

#include <sys/file.h>

#include "sys/files.h"
#include "sys/retry.h"

namespace pgstrata {
namespace {

Result<FileDescriptor> open_locked(const std::filesystem::path& path, int operation) {
  // Through a link the file would be made somewhere else.
  PGS_TRY(FileDescriptor file, open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK));
  PGS_TRY(const FileInfo info, stat_file(file));
  if (info.kind != FileType::regular) {
    return fail(ErrorCode::failed, "\"{}\" is no regular file and cannot be locked", path.native());
  }
  if (retry_interrupted([&] { return ::flock(file.get(), operation); }) != 0) {
    const int error_number = errno;
    if (error_number == EWOULDBLOCK) return fail(ErrorCode::busy, "\"{}\" is locked", path.native());
    return std::unexpected(
        error_from_errno(error_number, fmt::format("could not lock \"{}\"", path.native())));
  }
  return file;
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::filesystem::path& path) {
  PGS_TRY(FileDescriptor file, open_locked(path, LOCK_EX));
  return LockFile(std::move(file));
}

Result<LockFile> LockFile::try_acquire(const std::filesystem::path& path) {
  PGS_TRY(FileDescriptor file, open_locked(path, LOCK_EX | LOCK_NB));
  return LockFile(std::move(file));
}

}  // namespace pgstrata
