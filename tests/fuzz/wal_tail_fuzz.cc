// A WAL tail whose frames authenticate and make no sense. Each byte says how long the next frame is; the
// frame follows.
#include "catalog/wal_tail.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryStore store;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  const ClusterSpace space(store, "app", *key);
  auto journal = JournalWriter::create(space, "tail");
  PGS_ASSERT(journal.has_value());
  std::size_t bytes_in = 0;
  for (ByteView left = std::as_bytes(std::span(data, size)); !left.empty();) {
    const auto length = std::min(std::to_integer<std::size_t>(left.front()), left.size() - 1);
    PGS_ASSERT(journal->append(left.subspan(1, length)).has_value());
    bytes_in += length;
    left = left.subspan(1 + length);
  }
  PGS_ASSERT(journal->sync().has_value());
  const auto tail = read_wal_tail(space, "tail");
  if (!tail) return 0;
  // Without damage nothing is missing in between.
  PGS_ASSERT(!tail->damage && tail->pieces.size() <= 1);
  PGS_ASSERT(tail->pieces.empty() || tail->pieces.front().bytes.size() < bytes_in);
  return 0;
}
