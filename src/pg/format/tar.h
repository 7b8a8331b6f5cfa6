// A tar archive read as it arrives, as BASE_BACKUP sends it.
//
// Source: POSIX ustar, and src/port/tar.c (tarCreateHeader): blocks of 512 bytes, names up to 99 characters,
// no prefix, sizes beyond 8 GiB in base 256 (a GNU extension), types '0' (file), '2' (symbolic link) and '5'
// (folder). Servers up to 14 leave out the two zero blocks that end an archive, later ones send them; both
// are accepted.
//
// The parser copies nothing but headers: content is handed on as views of what was fed. It holds 512 bytes.
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

enum class TarType : std::uint8_t { file, symbolic_link, directory };

// Views are good until begin_member returns.
struct TarMember {
  std::string_view name;         // without a trailing slash
  std::string_view link_target;  // of a symbolic link
  TarType type = TarType::file;
  std::uint32_t mode = 0;
  std::uint64_t size_bytes = 0;  // 0 unless a file
  std::uint64_t offset = 0;      // of the header in the archive
};

// Told of each member in order; an error stops the parser and is returned by feed.
class TarHandler {
 public:
  virtual ~TarHandler() = default;
  virtual Result<void> begin_member(const TarMember& member) = 0;
  // A next piece of the member's content, never empty; borrowed from the bytes that were fed.
  virtual Result<void> content(ByteView bytes) = 0;
  virtual Result<void> end_member() = 0;
};

class TarParser {
 public:
  static constexpr std::size_t block_size_bytes = 512;

  // Borrows the handler.
  explicit TarParser(TarHandler& handler) : handler_(handler) {}

  // Errors: damaged, for a header that does not parse or bytes after the end, naming the offset; unsupported,
  // for members of another type; whatever the handler says. After an error the parser must not be fed again.
  Result<void> feed(ByteView bytes);

  // Error: damaged, when the archive stops within a member.
  Result<void> finish();

  [[nodiscard]] std::uint64_t offset() const { return offset_; }

 private:
  enum class Step : std::uint8_t { header, content, padding, end };

  void take(ByteView& bytes, std::size_t count) {
    bytes = bytes.subspan(count);
    offset_ += count;
  }
  Result<void> feed_header(ByteView& bytes);
  Result<void> feed_content(ByteView& bytes);
  Result<void> handle_header(const std::byte* block);
  Result<void> end_content();

  TarHandler& handler_;
  Step step_ = Step::header;
  std::uint64_t offset_ = 0;     // of the next byte to be fed
  std::uint64_t remaining_ = 0;  // of the content or the padding
  std::size_t padding_ = 0;      // that follows the content
  int zero_blocks_ = 0;
  std::array<std::byte, block_size_bytes>
      header_{};  // its first header_filled_ bytes, when it came in pieces
  std::size_t header_filled_ = 0;
};

}  // namespace pgstrata
