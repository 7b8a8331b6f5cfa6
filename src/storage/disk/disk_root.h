// The folder of a disk store: paths, temporaries, and the one way in which a name comes to be.
//
//   <root>/a/b            object "a/b"
//   <root>/.tmp/…         objects being written; named after their process, so that the leavings of a
//                         dead one can be told and removed
//   <root>/.lock          held while a replaceable object is compared and swapped
//
// What root makes in a folder that belongs to another user belongs to that user, too. Nothing is made through
// a symbolic link below the root (failed).
//
// Thread-safe.
#pragma once

#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/timestamp.h"
#include "sys/files.h"
#include "sys/process_identity.h"

namespace pgstrata {

// A file in .tmp, open for reading and writing, that is removed when dropped, unless published.
class Temporary {
 public:
  Temporary(FileDescriptor opened, std::filesystem::path path)
      : file(std::move(opened)), path_(std::move(path)) {}
  ~Temporary();
  Temporary(Temporary&& other) noexcept;
  Temporary& operator=(Temporary&&) = delete;

  FileDescriptor file;

 private:
  friend class DiskRoot;
  std::filesystem::path path_;  // empty once published
};

class DiskRoot {
 public:
  // The folder must exist. Error: not_found, permission, failed.
  static Result<DiskRoot> open(const std::filesystem::path& path);
  DiskRoot(DiskRoot&& other) noexcept;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // The name must be fit.
  [[nodiscard]] std::filesystem::path path_of(std::string_view name) const { return path_ / name; }
  [[nodiscard]] std::filesystem::path lock_path() const { return path_ / ".lock"; }

  // Error: unavailable, when the folder has gone or another one is in its place (the disk was unmounted). One with
  // the same files right in it is the same: its disk was mounted anew, and may be another device by now.
  Result<void> check_present() const;

  // As root in somebody else's folder: the lock file, when it is missing.
  Result<void> make_lock_file() const;
  // Error: failed, with a hint, when .tmp is a symbolic link or no folder.
  Result<Temporary> make_temporary();
  enum class Taken { refuse, replace };
  // Gives a temporary whose content is durable its name, durably. Error: already_exists when that is refused;
  // the name is durable then too.
  Result<void> publish(Temporary& temporary, std::string_view name, Taken taken);
  // Both steps of publish: the first only makes the name visible.
  Result<void> rename_into_place(Temporary& temporary, std::string_view name, Taken taken);
  Result<void> sync_folder_of(std::string_view name) const;
  // The folder of an object, durable up to the root.
  Result<void> ensure_folder_of(std::string_view name);
  // As ObjectStore::make_names_durable.
  Result<void> sync_names(std::string_view prefix);
  // Removes temporaries of processes that died, and those of processes on other machines untouched for sixty
  // days. Whatever else is in .tmp stays. Error: failed, when .tmp is a symbolic link or no folder.
  Result<void> remove_stale_temporaries(Timestamp now);

  // The error of an operation on an object in the words of the contract, with a hint where there is one.
  [[nodiscard]] Error explain(Error error, std::string_view name) const;

 private:
  DiskRoot(std::filesystem::path path, FileInfo info, std::string marks, ProcessIdentity process)
      : path_(std::move(path)),
        info_(info),
        marks_(std::move(marks)),
        process_(std::move(process)),
        place_(info) {}
  [[nodiscard]] std::filesystem::path temporaries() const { return path_ / ".tmp"; }
  // Error: not_found; failed, as for make_temporary.
  [[nodiscard]] Result<FileDescriptor> open_temporaries() const;
  // Whether this is root in somebody else's folder.
  [[nodiscard]] bool gives_away() const;
  // Only for what this process has just made.
  Result<void> give_to_owner(const FileDescriptor& file) const;
  // "a/b" below the root.
  Result<void> make_folders(std::string_view name) const;
  void forget_folders();

  const std::filesystem::path path_;
  const FileInfo info_;      // when it was opened
  const std::string marks_;  // by which it is known again; empty: by none
  const ProcessIdentity process_;
  mutable std::mutex mutex_;  // guards what follows
  mutable FileInfo place_;    // the folder as it was seen last
  // Folders this process has seen durable. One that another thread or process made may not be so yet.
  mutable std::set<std::filesystem::path> durable_folders_;
};

}  // namespace pgstrata
