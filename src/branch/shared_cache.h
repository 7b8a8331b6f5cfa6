// Pieces of the repository's content, decrypted and authenticated, in memory that all branches of a cluster
// share: what one has read, the others need not.
//
//   header | slot | slot | ... | content | content | ...
//
// A file in /dev/shm of fixed size, mapped by each process; it goes with the last of them. A piece may be in
// any of the eight slots of its set. A slot's sequence number is odd while it is written: a reader copies what
// it needs and looks at the number again, so nobody ever waits for anybody, and a process that dies while it
// writes leaves one slot that is not used until the file goes. Only processes of one user open it (mode 0600);
// what they put in is what they have authenticated. Thread-safe.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>

#include "codec/aead.h"
#include "sys/file_descriptor.h"
#include "sys/files.h"

namespace pgstrata {

class SharedCache {
 public:
  static constexpr std::size_t piece_bytes_max = 128U << 10;
  static constexpr std::size_t default_pieces = 512;  // 64 MiB

  // Makes the file where it is missing. `pieces` counts when it is made.
  static Result<std::unique_ptr<SharedCache>> open(const std::filesystem::path& path,
                                                   std::size_t pieces = default_pieces);
  ~SharedCache();
  SharedCache(const SharedCache&) = delete;
  SharedCache& operator=(const SharedCache&) = delete;

  // The piece's bytes from `offset` on into all of `into`; false when it is not here, or is shorter.
  [[nodiscard]] bool read(const ContentTag& tag, std::size_t offset, MutableByteView into);
  [[nodiscard]] bool has(const ContentTag& tag) const;
  // At most piece_bytes_max; in the place of the piece of its set that was not used for longest.
  void put(const ContentTag& tag, ByteView content);

 private:
  struct Header;
  struct Slot;

  SharedCache(std::filesystem::path path, FileDescriptor file, std::byte* memory, std::size_t size_bytes);
  [[nodiscard]] std::span<Slot> set_of(const ContentTag& tag) const;
  [[nodiscard]] std::byte* content_of(const Slot& slot) const;

  const std::filesystem::path path_;
  FileDescriptor file_;  // holds a shared lock on it
  std::byte* memory_;
  const std::size_t size_bytes_;
  Header* header_;
  std::span<Slot> slots_;
};

}  // namespace pgstrata
