// Fields that several kinds of WAL record have. Only wal_record.cc and wal_interpret.cc include this.
#pragma once

#include "base/types.h"
#include "codec/endian.h"

namespace pgstrata {

// RelFileLocator (RelFileNode before 16): tablespace, database, file number.
inline RelationFile read_relation_file(ByteReader& reader) {
  RelationFile relation;
  relation.tablespace.value = reader.u32();
  relation.database.value = reader.u32();
  relation.number.value = reader.u32();
  return relation;
}

}  // namespace pgstrata
