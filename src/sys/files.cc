#include "sys/files.h"

#include <algorithm>
#include <memory>
#include <system_error>

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sys/retry.h"

namespace pgstrata {
namespace {

using std::filesystem::path;

std::unexpected<Error> errno_error(std::string_view what, const path& where) {
  const int error_number = errno;
  return std::unexpected(
      error_from_errno(error_number, fmt::format("could not {} \"{}\"", what, where.native())));
}

std::unexpected<Error> errno_error(std::string_view what, const FileDescriptor& file) {
  const int error_number = errno;
  return std::unexpected(
      error_from_errno(error_number, fmt::format("could not {} \"{}\"", what, file.describe())));
}

std::unexpected<Error> errno_error(std::string_view what, const FileDescriptor& folder,
                                   const std::string& name) {
  const int error_number = errno;
  return std::unexpected(error_from_errno(
      error_number, fmt::format("could not {} \"{}\"", what, (path(folder.describe()) / name).native())));
}

FileType kind_of(mode_t mode) {
  if (S_ISREG(mode)) return FileType::regular;
  if (S_ISDIR(mode)) return FileType::directory;
  if (S_ISLNK(mode)) return FileType::symbolic_link;
  return FileType::other;
}

FileInfo info_of(const struct stat& from) {
  return {.kind = kind_of(from.st_mode),
          .size_bytes = static_cast<std::uint64_t>(from.st_size),
          .allocated_bytes = static_cast<std::uint64_t>(from.st_blocks) * 512,
          .modified = {from.st_mtim.tv_sec * 1'000'000 + from.st_mtim.tv_nsec / 1'000},
          .permissions = from.st_mode & 07777U,
          .device = from.st_dev,
          .inode = from.st_ino,
          .links = from.st_nlink,
          .owner = from.st_uid,
          .group = from.st_gid};
}

Result<FileType> entry_kind(DIR& directory, const path& where, const dirent& entry) {
  switch (entry.d_type) {
    case DT_REG:
      return FileType::regular;
    case DT_DIR:
      return FileType::directory;
    case DT_LNK:
      return FileType::symbolic_link;
    case DT_UNKNOWN: {
      struct stat info {};
      if (::fstatat(::dirfd(&directory), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno_error("look at", where / entry.d_name);
      }
      return kind_of(info.st_mode);
    }
    default:
      return FileType::other;
  }
}

}  // namespace

Result<FileDescriptor> open_file(const path& path, int flags, mode_t mode) {
  const int number = retry_interrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (number < 0) return errno_error((flags & O_CREAT) != 0 ? "create" : "open", path);
  return FileDescriptor(number);
}

Result<std::size_t> read_some(const FileDescriptor& file, MutableByteView into) {
  const ssize_t got = retry_interrupted([&] { return ::read(file.get(), into.data(), into.size()); });
  if (got < 0) return errno_error("read", file);
  return static_cast<std::size_t>(got);
}

Result<std::size_t> read_at_most(const FileDescriptor& file, std::uint64_t offset, MutableByteView into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = retry_interrupted([&] {
      return ::pread(file.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    });
    if (got < 0) return errno_error("read", file);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<void> read_exactly(const FileDescriptor& file, std::uint64_t offset, MutableByteView into) {
  PGS_TRY(const std::size_t got, read_at_most(file, offset, into));
  if (got < into.size()) {
    return fail(ErrorCode::damaged, "\"{}\" ends at byte {}, not at {} or later", file.describe(),
                offset + got, offset + into.size());
  }
  return {};
}

Result<void> write_all(const FileDescriptor& file, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = retry_interrupted([&] { return ::write(file.get(), bytes.data(), bytes.size()); });
    if (put < 0) return errno_error("write", file);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> write_all_at(const FileDescriptor& file, std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = retry_interrupted(
        [&] { return ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (put < 0) return errno_error("write", file);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Result<void> resize_file(const FileDescriptor& file, std::uint64_t size_bytes) {
  if (retry_interrupted([&] { return ::ftruncate(file.get(), static_cast<off_t>(size_bytes)); }) != 0) {
    return errno_error("resize", file);
  }
  return {};
}

Result<FileInfo> stat_file(const path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno_error("look at", path);
  return info_of(info);
}

Result<FileInfo> stat_file(const FileDescriptor& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("look at", file);
  return info_of(info);
}

Result<FileExtent> stat_extent(const FileDescriptor& file) {
  struct statx info = {};
  if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE | STATX_NLINK, &info) != 0)
    return errno_error("look at", file);
  return FileExtent{.size_bytes = info.stx_size, .links = info.stx_nlink};
}

Result<bool> leads_to(const path& path, const FileDescriptor& file) {
  struct statx named = {};
  struct statx open = {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO, &named) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return errno_error("look at", path);
  }
  if (::statx(file.get(), "", AT_EMPTY_PATH, STATX_INO, &open) != 0) return errno_error("look at", file);
  return named.stx_ino == open.stx_ino && named.stx_dev_major == open.stx_dev_major &&
         named.stx_dev_minor == open.stx_dev_minor;
}

Result<std::filesystem::path> resolved_path(const std::filesystem::path& path) {
  std::error_code error;
  const auto full = std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
  if (error)
    return std::unexpected(error_from_errno(error.value(), fmt::format("find \"{}\"", path.native())));
  return without_last_separator(full);
}

Result<bool> file_exists(const path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return errno_error("look at", path);
}

namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using DirectoryStream = std::unique_ptr<DIR, DirectoryCloser>;

// `path` is where it was opened.
Result<std::vector<DirectoryEntry>> read_entries(const DirectoryStream& directory, const path& path) {
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const Result<FileType> kind = entry_kind(*directory, path, *entry);
    if (!kind && kind.error().code() == ErrorCode::not_found) continue;  // removed meanwhile
    if (!kind) return std::unexpected(kind.error());
    entries.push_back({.name = std::move(name), .kind = *kind});
  }
  if (errno != 0) return errno_error("read directory", path);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

}  // namespace

Result<std::vector<DirectoryEntry>> list_directory(const path& path) {
  const DirectoryStream directory(::opendir(path.c_str()));
  if (directory == nullptr) return errno_error("open directory", path);
  return read_entries(directory, path);
}

Result<std::vector<DirectoryEntry>> list_directory(const FileDescriptor& folder) {
  // A description of its own: the stream takes it and moves its position.
  PGS_TRY(FileDescriptor own, open_file_in(folder, ".", O_RDONLY | O_DIRECTORY));
  const DirectoryStream directory(::fdopendir(own.get()));
  if (directory == nullptr) return errno_error("open directory", folder);
  (void)own.release();
  return read_entries(directory, folder.describe());
}

Result<FileDescriptor> open_file_in(const FileDescriptor& folder, const std::string& name, int flags,
                                    mode_t mode) {
  const int number = retry_interrupted(
      [&] { return ::openat(folder.get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode); });
  if (number < 0) {
    return errno_error((flags & O_CREAT) != 0 ? "create" : "open", folder, name);
  }
  return FileDescriptor(number);
}

Result<FileInfo> stat_file_in(const FileDescriptor& folder, const std::string& name) {
  struct stat info {};
  if (::fstatat(folder.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error("look at", folder, name);
  }
  return info_of(info);
}

Result<void> remove_file_in(const FileDescriptor& folder, const std::string& name) {
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0) {
    return errno_error("remove", folder, name);
  }
  return {};
}

Result<void> make_directories(const path& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
    PGS_CHECK(make_directories(path.parent_path(), mode));
    if (::mkdir(path.c_str(), mode) == 0) return {};
  }
  if (errno == EEXIST) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    errno = ENOTDIR;
  }
  return errno_error("create directory", path);
}

Result<void> rename_file(const path& from, const path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return errno_error(fmt::format("rename \"{}\" to", from.native()), to);
  }
  return {};
}

Result<void> rename_file_to_new(const path& from, const path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
  // Some network and FUSE file systems know no flags; a link refuses a taken name just as atomically.
  if (errno == EINVAL || errno == ENOSYS) {
    if (::link(from.c_str(), to.c_str()) == 0) return remove_file(from);
  }
  return errno_error(fmt::format("rename \"{}\" to", from.native()), to);
}

path without_last_separator(const path& path) {
  return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

Result<void> remove_file(const path& path) {
  if (::unlink(path.c_str()) != 0) return errno_error("remove", path);
  return {};
}

Result<void> remove_file_if_there(const path& path) {
  auto removed = remove_file(path);
  if (!removed && removed.error().code() == ErrorCode::not_found) return {};
  return removed;
}

namespace {

Result<Bytes> read_opened(const FileDescriptor& file, const path& path, std::size_t limit_bytes) {
  PGS_TRY(const FileInfo info, stat_file(file));
  // One byte more than its size, so that the usual file needs no second allocation to see its end.
  Bytes content(std::min<std::size_t>(limit_bytes, std::max<std::size_t>(info.size_bytes, 4095)) + 1);
  std::size_t size = 0;
  while (true) {
    PGS_TRY(const std::size_t got, read_some(file, MutableByteView(content).subspan(size)));
    size += got;
    if (got == 0) break;
    if (size > limit_bytes) {
      return fail(ErrorCode::failed, "\"{}\" is longer than {} bytes", path.native(), limit_bytes);
    }
    if (size == content.size()) content.resize(std::min(2 * content.size(), limit_bytes + 1));
  }
  content.resize(size);
  return content;
}

}  // namespace

Result<Bytes> read_file(const path& path, std::size_t limit_bytes) {
  PGS_TRY(const FileDescriptor file, open_file(path, O_RDONLY));
  return read_opened(file, path, limit_bytes);
}

Result<Bytes> read_regular_file(const path& path, std::size_t limit_bytes) {
  PGS_TRY(const FileDescriptor file, open_file(path, O_RDONLY | O_NONBLOCK));
  PGS_CHECK(check_regular(file, path));
  return read_opened(file, path, limit_bytes);
}

Result<void> check_regular(const FileDescriptor& file, const path& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("look at", path);
  if (S_ISREG(info.st_mode)) return {};
  return fail(ErrorCode::failed, "\"{}\" is no regular file", path.native());
}

Result<void> write_file(const path& path, ByteView content, mode_t mode) {
  PGS_TRY(const FileDescriptor file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  return write_all(file, content);
}

namespace {

// For file systems between which the kernel does not copy.
Result<void> copy_by_hand(const FileDescriptor& source, const FileDescriptor& target, std::uint64_t offset) {
  Bytes piece(std::size_t{1} << 18);
  while (true) {
    PGS_TRY(const std::size_t got, read_at_most(source, offset, piece));
    if (got == 0) return {};
    PGS_CHECK(write_all_at(target, offset, ByteView(piece).first(got)));
    offset += got;
  }
}

}  // namespace

Result<void> duplicate_file(const path& from, const path& to) {
  PGS_TRY(const FileDescriptor source, open_file(from, O_RDONLY));
  PGS_TRY(const FileInfo info, stat_file(source));
  PGS_TRY(const FileDescriptor target, open_file(to, O_WRONLY | O_CREAT | O_EXCL, info.permissions));
  if (::fchmod(target.get(), info.permissions) != 0) return errno_error("set the mode of", to);
  constexpr std::size_t step_size_bytes = std::size_t{1} << 30;
  std::uint64_t done = 0;
  while (true) {
    const ssize_t copied = retry_interrupted(
        [&] { return ::copy_file_range(source.get(), nullptr, target.get(), nullptr, step_size_bytes, 0); });
    if (copied < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      return errno_error(fmt::format("copy \"{}\" to", from.native()), to);
    }
    // Nothing copied is the end of the file, or a file system that does not know its sizes.
    if (copied <= 0) return copy_by_hand(source, target, done);
    done += static_cast<std::uint64_t>(copied);
  }
}

Result<std::uint64_t> free_space_bytes(const path& path) {
  struct statvfs info {};
  if (retry_interrupted([&] { return ::statvfs(path.c_str(), &info); }) != 0) {
    return errno_error("ask for the free space at", path);
  }
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace pgstrata
