// PostgreSQL's identifiers as types of their own, so that no two can be mistaken for each other.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/result.h"

namespace pgstrata {

// A log sequence number: a byte position in the WAL. Zero is invalid, as in PostgreSQL.
struct Lsn {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const Lsn&) const = default;
  [[nodiscard]] constexpr bool valid() const { return value != 0; }
  constexpr Lsn operator+(std::uint64_t bytes) const { return {value + bytes}; }
  constexpr Lsn& operator+=(std::uint64_t bytes) {
    value += bytes;
    return *this;
  }
  // Bytes from `other` to this.
  constexpr std::uint64_t operator-(Lsn other) const { return value - other.value; }
};

// "16/B374D848": both halves in upper-case hexadecimal. Error: usage.
[[nodiscard]] Result<Lsn> parse_lsn(std::string_view text);
[[nodiscard]] std::string to_string(Lsn lsn);

template <class Tag, class Integer>
struct Identifier {
  Integer value = 0;
  constexpr auto operator<=>(const Identifier&) const = default;
  [[nodiscard]] constexpr bool valid() const { return value != 0; }
};

using TimelineId = Identifier<struct TimelineIdTag, std::uint32_t>;
using Oid = Identifier<struct OidTag, std::uint32_t>;
// A 32-bit transaction id, without epoch, as WAL records carry it.
using Xid = Identifier<struct XidTag, std::uint32_t>;
// The database system identifier that initdb drew; two clusters never share one.
using SystemIdentifier = Identifier<struct SystemIdentifierTag, std::uint64_t>;
// Counts blocks within one relation fork; zero is a valid block.
using BlockNumber = Identifier<struct BlockNumberTag, std::uint32_t>;

inline constexpr std::uint32_t page_size = 8192;  // BLCKSZ of every packaged PostgreSQL

// A relation's files: tablespace, database, file number (RelFileLocator, before 16 RelFileNode).
struct RelationFile {
  Oid tablespace;
  Oid database;
  Oid number;
  constexpr auto operator<=>(const RelationFile&) const = default;
};

}  // namespace pgstrata

template <>
struct fmt::formatter<pgstrata::Lsn> : fmt::formatter<std::string> {
  auto format(pgstrata::Lsn lsn, format_context& context) const {
    return fmt::formatter<std::string>::format(pgstrata::to_string(lsn), context);
  }
};

template <class Tag, class Integer>
struct fmt::formatter<pgstrata::Identifier<Tag, Integer>> : fmt::formatter<Integer> {
  auto format(pgstrata::Identifier<Tag, Integer> id, format_context& context) const {
    return fmt::formatter<Integer>::format(id.value, context);
  }
};

template <class Tag, class Integer>
struct std::hash<pgstrata::Identifier<Tag, Integer>> {
  std::size_t operator()(pgstrata::Identifier<Tag, Integer> id) const noexcept {
    return std::hash<Integer>()(id.value);
  }
};

template <>
struct std::hash<pgstrata::RelationFile> {
  std::size_t operator()(const pgstrata::RelationFile& file) const noexcept {
    std::uint64_t mixed = (std::uint64_t{file.database.value} << 32) | file.number.value;
    mixed ^= std::uint64_t{file.tablespace.value} * 0x9E3779B97F4A7C15ULL;
    mixed *= 0xFF51AFD7ED558CCDULL;
    return static_cast<std::size_t>(mixed ^ (mixed >> 33));
  }
};
