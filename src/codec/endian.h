// Reading and writing fixed layouts. Little-endian unless the name says otherwise.
//
// ByteReader never reads past its end: a read that would sets failed() and yields zeros from then on, so that
// a parser reads a whole structure and asks once. Views it returns borrow the bytes it was given.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

#include "base/bytes.h"

namespace pgstrata {

template <std::unsigned_integral T>
[[nodiscard]] T load_little(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
  return value;
}

template <std::unsigned_integral T>
[[nodiscard]] T load_big(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::little && sizeof value > 1) value = std::byteswap(value);
  return value;
}

class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

  template <std::unsigned_integral T>
  T little() {
    const auto* at = take(sizeof(T));
    return at == nullptr ? T{0} : load_little<T>(at);
  }
  template <std::unsigned_integral T>
  T big() {
    const auto* at = take(sizeof(T));
    return at == nullptr ? T{0} : load_big<T>(at);
  }
  std::uint8_t u8() { return little<std::uint8_t>(); }
  std::uint16_t u16() { return little<std::uint16_t>(); }
  std::uint32_t u32() { return little<std::uint32_t>(); }
  std::uint64_t u64() { return little<std::uint64_t>(); }

  // LEB128, at most ten bytes.
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t byte = u8();
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    failed_ = true;
    return 0;
  }

  ByteView bytes(std::size_t count) {
    const auto* at = take(count);
    return at == nullptr ? ByteView() : ByteView(at, count);
  }
  // A varint length, then that many bytes.
  std::string_view text() { return as_text(bytes(static_cast<std::size_t>(varint()))); }
  void skip(std::size_t count) { take(count); }

  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t remaining() const { return bytes_.size() - position_; }
  [[nodiscard]] bool failed() const { return failed_; }
  // Everything was read and nothing was missing.
  [[nodiscard]] bool finished() const { return !failed_ && remaining() == 0; }

 private:
  const std::byte* take(std::size_t count) {
    if (failed_ || count > remaining()) {
      failed_ = true;
      return nullptr;
    }
    const auto* at = bytes_.data() + position_;
    position_ += count;
    return at;
  }

  ByteView bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

class ByteWriter {
 public:
  template <std::unsigned_integral T>
  void little(T value) {
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    bytes(std::as_bytes(std::span(&value, 1)));
  }
  template <std::unsigned_integral T>
  void big(T value) {
    if constexpr (std::endian::native == std::endian::little && sizeof value > 1)
      value = std::byteswap(value);
    bytes(std::as_bytes(std::span(&value, 1)));
  }
  void u8(std::uint8_t value) { little(value); }
  void u16(std::uint16_t value) { little(value); }
  void u32(std::uint32_t value) { little(value); }
  void u64(std::uint64_t value) { little(value); }
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      u8(static_cast<std::uint8_t>(value | 0x80U));
      value >>= 7;
    }
    u8(static_cast<std::uint8_t>(value));
  }
  void bytes(ByteView view) { append(buffer_, view); }
  void text(std::string_view value) {
    varint(value.size());
    bytes(as_byte_view(value));
  }

  [[nodiscard]] std::size_t size() const { return buffer_.size(); }
  [[nodiscard]] ByteView view() const { return buffer_; }
  [[nodiscard]] Bytes take() { return std::move(buffer_); }
  // Empty again; its memory stays.
  void clear() { buffer_.clear(); }

 private:
  Bytes buffer_;
};

}  // namespace pgstrata
