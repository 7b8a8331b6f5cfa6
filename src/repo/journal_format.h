// The inside of a journal. docs/formats/journal.md has the byte tables. Internal to the room.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "codec/aead.h"
#include "repo/object_header.h"
#include "repo/sealed_journal.h"

namespace pgstrata {

inline constexpr std::uint8_t journal_kind = 1;
inline constexpr std::string_view journal_key_purpose = "journal v1";

// What a writer appends between two syncs at most. So a crash tears no more than that from a journal.
inline constexpr std::uint64_t max_unsynced_bytes = 32U << 20;
// How far a reader looks behind the last frame that authenticates: beyond what a crash and the zeros that a
// store keeps ahead (ObjectJournal) can leave there.
inline constexpr std::uint64_t look_limit_bytes = 64U << 20;

// Precedes each sealed frame, in clear text.
struct FrameHeader {
  std::uint32_t number = 0;   // from zero; the frame's nonce
  std::uint32_t length = 0;   // of the content
  std::uint32_t durable = 0;  // how many frames a finished sync covered when this one was appended
};
inline constexpr std::size_t frame_header_size_bytes = 20;
inline constexpr std::size_t frame_overhead_bytes = frame_header_size_bytes + Aead::tag_size_bytes;
using FrameHeaderBytes = std::array<std::byte, frame_header_size_bytes>;

[[nodiscard]] ByteView frame_magic();
[[nodiscard]] FrameHeaderBytes write_frame_header(const FrameHeader& header);
// Nothing when `bytes` does not start with a frame header, by its magic, checksum and limits.
[[nodiscard]] std::optional<FrameHeader> parse_frame_header(ByteView bytes);

// The additional data that binds a frame to its journal and its place.
class FrameBinding {
 public:
  FrameBinding(ByteView journal_header, std::string_view name);
  [[nodiscard]] ByteView at(std::uint64_t offset, ByteView frame_header);

 private:
  Bytes bytes_;
};

}  // namespace pgstrata
