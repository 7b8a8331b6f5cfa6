// backup_label and tablespace_map. What is read from a map, written and read again, must stay the same.
#include "base/assert.h"
#include "base/bytes.h"
#include "pg/format/backup_label.h"
#include "pg/format/relation_path.h"
#include "pg/format/tablespace_map.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(std::as_bytes(std::span(data, size)));
  (void)parse_backup_label(text);
  if (const auto map = parse_tablespace_map(text)) {
    const auto again = parse_tablespace_map(format_tablespace_map(*map));
    PGS_ASSERT(again.has_value() && *again == *map);
  }
  if (const auto path = parse_relation_path(text)) {
    PGS_ASSERT(parse_relation_path(format_relation_path(*path, "PG_15_202209061")) == path);
  }
  return 0;
}
