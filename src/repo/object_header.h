// The first 28 bytes of every sealed object (pack, record, journal, lease), in clear text: what it is and the
// id that its key is derived from. Later versions keep this layout, so that any version can tell "newer" from
// "damaged".
//
//   offset  size
//        0     4  magic: "PGSP" pack, "PGSR" record, "PGSJ" journal, "PGSL" lease
//        4     2  version, little-endian
//        6     1  kind; its meaning depends on the magic
//        7     1  zero
//        8    16  id
//       24     4  CRC-32C of the bytes before it, little-endian
#pragma once

#include <array>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

using ObjectId = std::array<std::byte, 16>;
using ObjectMagic = std::array<char, 4>;

inline constexpr ObjectMagic pack_magic{'P', 'G', 'S', 'P'};
inline constexpr ObjectMagic record_magic{'P', 'G', 'S', 'R'};
inline constexpr ObjectMagic journal_magic{'P', 'G', 'S', 'J'};
inline constexpr ObjectMagic lease_magic{'P', 'G', 'S', 'L'};

inline constexpr std::size_t object_header_size_bytes = 28;
using ObjectHeaderBytes = std::array<std::byte, object_header_size_bytes>;

inline constexpr std::uint16_t object_version = 1;

[[nodiscard]] ObjectHeaderBytes write_object_header(const ObjectMagic& magic, std::uint8_t kind,
                                                    const ObjectId& id);

// Reads the header at the start of `object`; `name` is the object's, for messages.
// Errors: damaged (also when it is of another magic or kind); newer_format.
Result<ObjectId> read_object_header(ByteView object, const ObjectMagic& magic, std::uint8_t kind,
                                    std::string_view name);

}  // namespace pgstrata
