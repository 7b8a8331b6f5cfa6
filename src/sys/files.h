// Files and folders, as Results. Nothing here is durable: see durable.h.
//
// Interrupted calls are repeated and short ones continued. Descriptors are opened close-on-exec.
// Errors are those of error_from_errno, with the path in the message; others are said at the call.
// Thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

// `flags` as in open(2): O_RDONLY, O_RDWR | O_CREAT | O_EXCL … `mode` is for a file that it makes.
[[nodiscard]] Result<FileDescriptor> open_file(const std::filesystem::path& path, int flags,
                                               mode_t mode = 0600);

// At most into.size() bytes from the descriptor's position; 0 at the end.
[[nodiscard]] Result<std::size_t> read_some(const FileDescriptor& file, MutableByteView into);
// Bytes from `offset` until `into` is full or the file ends; how many.
[[nodiscard]] Result<std::size_t> read_at_most(const FileDescriptor& file, std::uint64_t offset,
                                               MutableByteView into);
// Fills `into` from `offset`. Error: damaged, when the file ends before that.
[[nodiscard]] Result<void> read_exactly(const FileDescriptor& file, std::uint64_t offset,
                                        MutableByteView into);
// At the descriptor's position.
[[nodiscard]] Result<void> write_all(const FileDescriptor& file, ByteView bytes);
[[nodiscard]] Result<void> write_all_at(const FileDescriptor& file, std::uint64_t offset, ByteView bytes);
// Sets the size; grown parts read as zeros.
[[nodiscard]] Result<void> resize_file(const FileDescriptor& file, std::uint64_t size_bytes);

enum class FileType { regular, directory, symbolic_link, other };

struct FileInfo {
  FileType kind = FileType::other;
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // what it takes on the disk
  Timestamp modified;
  mode_t permissions = 0;  // the lower twelve bits
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t links = 0;  // names; 0 when the last one was removed
  uid_t owner = 0;
  gid_t group = 0;
};

// Does not follow a symbolic link at the end of the path.
[[nodiscard]] Result<FileInfo> stat_file(const std::filesystem::path& path);
[[nodiscard]] Result<FileInfo> stat_file(const FileDescriptor& file);
// What of a file tells that it was removed or cut short.
struct FileExtent {
  std::uint64_t size_bytes = 0;
  std::uint64_t links = 0;
};
// Between syncs: once somebody has asked for a file's times, Linux (from 6.13) notes the time of its next
// write exactly, and the sync after it has the inode to write as well. This does not ask for them.
[[nodiscard]] Result<FileExtent> stat_extent(const FileDescriptor& file);
// Whether that is what the path leads to, which may be gone. Does not ask for times either.
[[nodiscard]] Result<bool> leads_to(const std::filesystem::path& path, const FileDescriptor& file);
// "a/b/" as "a/b", whose parent is "a". "/" stays.
[[nodiscard]] std::filesystem::path without_last_separator(const std::filesystem::path& path);
// With links resolved as far as it exists, absolute, without a "/" at its end.
[[nodiscard]] Result<std::filesystem::path> resolved_path(const std::filesystem::path& path);
// Whether anything is at `path`; an error when that cannot be told.
[[nodiscard]] Result<bool> file_exists(const std::filesystem::path& path);

struct DirectoryEntry {
  std::string name;
  FileType kind = FileType::other;
};

// Without "." and "..", sorted by name in byte order.
[[nodiscard]] Result<std::vector<DirectoryEntry>> list_directory(const std::filesystem::path& path);

// The same in an open folder, whatever takes its place meanwhile. `name` is that of an entry, without "/";
// a symbolic link of that name is not followed.
[[nodiscard]] Result<std::vector<DirectoryEntry>> list_directory(const FileDescriptor& folder);
[[nodiscard]] Result<FileDescriptor> open_file_in(const FileDescriptor& folder, const std::string& name,
                                                  int flags, mode_t mode = 0600);
[[nodiscard]] Result<FileInfo> stat_file_in(const FileDescriptor& folder, const std::string& name);
[[nodiscard]] Result<void> remove_file_in(const FileDescriptor& folder, const std::string& name);

// With all missing parents. One that exists is no error; its mode stays.
[[nodiscard]] Result<void> make_directories(const std::filesystem::path& path, mode_t mode = 0700);
// Replaces `to`.
[[nodiscard]] Result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
// Error: already_exists, when there is something at `to`; both stay.
[[nodiscard]] Result<void> rename_file_to_new(const std::filesystem::path& from,
                                              const std::filesystem::path& to);
[[nodiscard]] Result<void> remove_file(const std::filesystem::path& path);
// A missing one is no error.
[[nodiscard]] Result<void> remove_file_if_there(const std::filesystem::path& path);
// With everything in it. A missing one is no error.
[[nodiscard]] Result<void> remove_tree(const std::filesystem::path& path);

// The whole file, also one whose size the kernel does not say (/proc).
// Error: failed, when it is longer than `limit_bytes`.
[[nodiscard]] Result<Bytes> read_file(const std::filesystem::path& path,
                                      std::size_t limit_bytes = std::size_t{1} << 30);
// The same where somebody else may have put anything there, such as a FIFO, on which others wait for ever. Links are
// followed. Error: failed also when it is no regular file.
[[nodiscard]] Result<Bytes> read_regular_file(const std::filesystem::path& path, std::size_t limit_bytes);
// Error: failed, when it is none; `path` is for the message.
[[nodiscard]] Result<void> check_regular(const FileDescriptor& file, const std::filesystem::path& path);

// Creates or truncates.
[[nodiscard]] Result<void> write_file(const std::filesystem::path& path, ByteView content,
                                      mode_t mode = 0600);
// Content and permissions; `to` must not exist. Shares blocks where the file system can.
[[nodiscard]] Result<void> duplicate_file(const std::filesystem::path& from, const std::filesystem::path& to);

// What an ordinary user may still write to the file system that holds `path`.
[[nodiscard]] Result<std::uint64_t> free_space_bytes(const std::filesystem::path& path);

}  // namespace pgstrata
