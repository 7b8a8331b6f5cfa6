// An object store in a folder: each object is a file of the same name below it.
//
// Folders have mode 0700, files 0600. Several processes may use one folder at a time, also over a network
// file system that has rename without replacing (or hard links) and flock. The folder must not change hands
// while it is open: a disk that was unmounted is told by the folder's identity and reported as unavailable.
// On a network file system it is far (network_file_system.h).
//
// Errors beside the contract's: no_space hints at what is free. A symbolic link, fifo, socket or device by an
// object's name is a damaged object; none is followed, nor waited for. So is what the disk fails to read
// (EIO) and a file that this user may not read, where the way to it is open; neither is lasting damage.
#pragma once

#include "storage/disk/disk_root.h"
#include "storage/object_store.h"
#include "sys/lock_file.h"

namespace pgstrata {

class DiskStore : public ObjectStore {
 public:
  // The clock is borrowed for the life of the store. Never makes the folder: a missing one may be a disk that
  // is not mounted. Clears away what dead processes left unfinished. Error: not_found, with a hint;
  // permission.
  static Result<std::unique_ptr<DiskStore>> open(const std::filesystem::path& path,
                                                 const Clock& clock = system_clock());
  // Makes the folder and its parents where they are missing, then opens it.
  static Result<std::unique_ptr<DiskStore>> open_or_make(const std::filesystem::path& path,
                                                         const Clock& clock = system_clock());

  [[nodiscard]] StoreCapabilities capabilities() const override {
    return {.journals = true, .conditional_writes = true, .far = far_};
  }
  [[nodiscard]] std::string describe() const override { return root_.path().native(); }

  Result<void> put(std::string_view name, ByteView content) override;
  Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) override;
  Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) override;
  Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) override;
  Result<std::size_t> read_some(std::string_view name, std::uint64_t offset, MutableByteView into) override;
  bool forget_copies(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  Result<ObjectInfo> stat(std::string_view name) override;
  Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                       std::size_t limit) override;
  Result<void> make_names_durable(std::string_view prefix) override;
  Result<void> remove(std::string_view name) override;
  // The version is a digest of the content.
  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override;
  Result<VersionedObject> get_versioned(std::string_view name) override;

 private:
  DiskStore(DiskRoot root, const Clock& clock);
  struct OpenObject {
    FileDescriptor file;
    FileInfo info;
  };
  Result<OpenObject> open_object(std::string_view name);
  [[nodiscard]] std::unexpected<Error> no_regular_file(std::string_view name) const;
  // Bytes that the disk cannot give back are damaged, as if it had given back wrong ones.
  Error unreadable_or(Error error, std::string_view name) const;
  // The error of looking for an object: the way to it may end in another object, or at a folder.
  std::unexpected<Error> not_found_or(Error error, std::string_view name);
  [[nodiscard]] bool way_is_blocked(std::string_view name) const;
  Result<void> remove_name(std::string_view name);
  Result<void> swap(std::string_view name, const std::optional<std::string>& expected, ByteView content);

  template <class T>
  Result<T> explained(Result<T> result, std::string_view name) {
    if (result) return result;
    return std::unexpected(root_.explain(std::move(result).error(), name));
  }

  // The lock of compare-and-swap. Error: unavailable, when somebody holds it for too long.
  Result<LockFile> lock() const;

  DiskRoot root_;
  const Clock& clock_;
  const bool far_;
};

}  // namespace pgstrata
