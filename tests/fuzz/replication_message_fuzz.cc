// What a server sends during BASE_BACKUP (from 15 on) and START_REPLICATION.
#include "pg/wire/base_backup_reader.h"
#include "pg/wire/wal_stream.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView message = std::as_bytes(std::span(data, size));
  const auto event = parse_wal_message(message);
  if (event && std::holds_alternative<WalData>(*event))
    PGS_ASSERT(std::get<WalData>(*event).bytes.size() < size);
  for (const bool in_manifest : {false, true}) {
    const auto backup = parse_backup_message(message, in_manifest);
    if (backup && std::holds_alternative<ArchiveStart>(*backup))
      PGS_ASSERT(std::get<ArchiveStart>(*backup).location.size() < size);
  }
  return 0;
}
