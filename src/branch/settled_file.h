// What an overlay wrote over extents of the base and then left alone: each as its difference from the base's
// (snapshot/extent_difference.h), compressed. One file for a node, never changed: the next one takes its place.
// Format: docs/formats/overlay.md.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "snapshot/extent_difference.h"
#include "sys/file_descriptor.h"

namespace pgstrata {

struct SettledExtent {
  std::uint64_t number = 0;       // of the file
  PageBits pages = 0;             // that were ever written, also those that are as the base has them
  std::uint64_t offset = 0;       // of the compressed difference
  std::uint32_t stored_size = 0;  // 0: all are as the base has them
  std::uint32_t crc32c = 0;       // of what the extent holds then
  bool operator==(const SettledExtent&) const = default;
};

// The extents that the end of a settled file lists, in order, and its serial number. Error: damaged;
// newer_format.
struct SettledIndex {
  std::uint64_t serial = 0;
  std::vector<SettledExtent> extents;
};
[[nodiscard]] Bytes encode_settled_index(const SettledIndex& index);
[[nodiscard]] Result<SettledIndex> parse_settled_index(ByteView bytes);

// Thread-safe.
class SettledFile {
 public:
  // Errors: not_found; damaged; newer_format; those of the disk.
  static Result<std::shared_ptr<const SettledFile>> open(const std::filesystem::path& path);

  // Each file that takes the place of another has a higher one.
  [[nodiscard]] std::uint64_t serial() const { return index_.serial; }
  [[nodiscard]] const std::vector<SettledExtent>& extents() const { return index_.extents; }
  // By their numbers in the file.
  void for_each_page(const std::function<void(std::uint64_t page)>& call) const;
  // Nothing where the extent is the base's.
  [[nodiscard]] const SettledExtent* find(std::uint64_t number) const;
  // `content` holds the whole extent as the base has it, and becomes what was settled. Error: damaged, also where
  // the base is not the one it was.
  Result<void> apply(const SettledExtent& extent, MutableByteView content) const;
  // As it is stored, right or wrong.
  Result<Bytes> stored(const SettledExtent& extent) const;
  // Of all its differences.
  [[nodiscard]] std::uint64_t stored_bytes() const;

 private:
  friend class SettledFileWriter;
  SettledFile(std::filesystem::path path, FileDescriptor file, SettledIndex index)
      : path_(std::move(path)), file_(std::move(file)), index_(std::move(index)) {}

  const std::filesystem::path path_;
  const FileDescriptor file_;
  const SettledIndex index_;
};

// Belongs to one thread. Dropping it leaves what is at `path` as it was. Errors: those of the disk; after one it is
// of no more use.
class SettledFileWriter {
 public:
  static Result<SettledFileWriter> create(const std::filesystem::path& path, std::uint64_t serial);
  SettledFileWriter(SettledFileWriter&& other) noexcept;
  SettledFileWriter& operator=(SettledFileWriter&&) = delete;
  ~SettledFileWriter();

  // In the order of their numbers. `stored` is the compressed difference, of the size that `extent` says; its
  // offset is of no account.
  Result<void> add(SettledExtent extent, ByteView stored);
  // In the place of what was at the path, durably.
  Result<std::shared_ptr<const SettledFile>> commit();

 private:
  SettledFileWriter(std::filesystem::path path, FileDescriptor file, std::uint64_t serial);

  std::filesystem::path path_;
  FileDescriptor file_;  // closed: nothing to clean up
  std::uint64_t size_bytes_;
  SettledIndex index_;
};

}  // namespace pgstrata
