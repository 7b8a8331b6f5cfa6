// backup_label, and the paths of relations.
#include "base/bytes.h"
#include "pg/format/backup_label.h"
#include "pg/format/relation_path.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(std::as_bytes(std::span(data, size)));
  (void)parse_backup_label(text);
  (void)parse_relation_path(text);
  return 0;
}
