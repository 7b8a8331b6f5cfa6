// A folder that a restore writes into: the data directory, or a tablespace's.
//
// Paths are relative to it, "/" between parts, and no part of one is ever followed when it is a symbolic
// link: a restore by root into a folder that somebody else owns writes nowhere else. What is made belongs to
// the owner given. Thread-safe; nothing is durable before sync().
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "sys/files.h"

namespace pgstrata {

// Whom restored files belong to.
struct FileOwner {
  uid_t user = 0;
  gid_t group = 0;
  std::string name;     // for messages and for starting the server
  bool change = false;  // false: this process's own user, nothing to do
};

// This process's user, unless it is root: then the owner of `directory` when it exists, and the user
// `postgres` when that is root or the directory does not exist. PostgreSQL does not run as root, so root is
// the last resort.
[[nodiscard]] Result<FileOwner> choose_owner(const std::filesystem::path& directory);

class TargetDirectory {
 public:
  // Must exist. Takes a lock on it that ends with this object. Error: busy, when another restore is at work
  // in it.
  static Result<TargetDirectory> open(const std::filesystem::path& path, FileOwner owner);
  // Makes it when it does not exist, with mode 0700 and of its owner; missing parents with mode 0755, of this
  // process's user.
  static Result<TargetDirectory> open_or_make(const std::filesystem::path& path, FileOwner owner);
  // Removes what open_or_make made of it and of its parents, as far as it is empty.
  void unmake() const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const FileOwner& owner() const { return owner_; }
  [[nodiscard]] std::filesystem::path shown(std::string_view relative) const;

  // `flags` as in open(2); with O_CREAT the file gets owner and mode, also when it was there.
  Result<FileDescriptor> open_file(std::string_view relative, int flags, mode_t mode = 0600) const;
  // Error: not_found.
  Result<FileInfo> stat(std::string_view relative) const;
  // Sets owner and mode; one that exists is no error.
  Result<void> make_directory(std::string_view relative, mode_t mode) const;
  Result<void> make_link(std::string_view relative, const std::filesystem::path& to) const;
  // Where a link leads; empty when it is none.
  Result<std::string> read_link(std::string_view relative) const;
  // "" is the folder itself.
  Result<std::vector<DirectoryEntry>> list(std::string_view relative) const;
  // A file, a link, or a folder with all in it. A missing one is no error.
  Result<void> remove(std::string_view relative) const;
  Result<Bytes> read(std::string_view relative, std::size_t limit_bytes) const;
  // Replaces the file as a whole, durably.
  Result<void> write(std::string_view relative, ByteView content, mode_t mode = 0600) const;
  Result<void> set_mode(mode_t mode) const;

  // Everything written to the file system of this folder, by anyone, is durable.
  Result<void> sync() const;
  // The names in a folder are.
  Result<void> sync_names(std::string_view relative) const;
  [[nodiscard]] std::uint64_t device() const { return device_; }

 private:
  struct Place {
    FileDescriptor folder;
    std::string name;
  };
  TargetDirectory(std::filesystem::path path, FileDescriptor folder, FileOwner owner, std::uint64_t device)
      : path_(std::move(path)), folder_(std::move(folder)), owner_(std::move(owner)), device_(device) {}
  static Result<TargetDirectory> make(const std::filesystem::path& path, FileOwner owner);
  Result<Place> place_of(std::string_view relative) const;
  Result<FileDescriptor> open_folder(std::string_view relative) const;
  Result<void> adopt(const FileDescriptor& file, mode_t mode) const;
  std::unexpected<Error> failure(std::string_view what, std::string_view relative) const;

  std::filesystem::path path_;
  FileDescriptor folder_;
  FileOwner owner_;
  std::uint64_t device_;
  std::filesystem::path made_from_;  // the uppermost folder that open_or_make made; empty: none
};

}  // namespace pgstrata
