// Which roles a data directory has, by its files alone.
//
// Sources: src/backend/utils/cache/relmapper.c (RelMapFile), src/include/access/htup_details.h,
// src/include/storage/bufpage.h, src/include/catalog/pg_authid.h. The same from 13 to 18, but for the number of
// places in the map (62 up to 15, 64 after that).
//
//   global/pg_filenode.map          a tuple of pg_authid
//   offset size  field              offset size  field
//        0    4  magic 0x592717          0    4  xmin
//        4    4  number of mappings      4    4  xmax
//        8  8*n  OID, file number       20    2  infomask
//                                       22    1  header size
//                                  header+0    4  the role's OID
//                                  header+4   64  its name, zeros after it
//
// Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

inline constexpr Oid pg_authid_oid{1260};
inline constexpr Oid bootstrap_superuser_oid{10};  // the role that initdb made, whatever it is called

// The file number of a mapped catalog. Errors: damaged; not_found (it is not mapped).
[[nodiscard]] Result<std::uint32_t> mapped_file_number(ByteView filenode_map, Oid relation);

// The names that a role has, or had, in pg_authid's file, the likeliest first: nothing deleted the version,
// then those that something may have. Which transactions committed is not looked up. Parts that make no sense
// are passed over.
[[nodiscard]] std::vector<std::string> names_of_role(ByteView pg_authid, Oid role);

}  // namespace pgstrata
