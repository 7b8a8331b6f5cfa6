// A journal whose bytes were changed: the input says where and how. What comes back is always a first part of
// what was written. And the input as a whole journal.
#include <string>

#include "repo/journal_format.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

namespace {

const std::vector<std::string> frames{"one", "", std::string(300, 'x'), "four", "five"};

Bytes written(const ClusterSpace& space) {
  auto journal = JournalWriter::create(space, "tail");
  PGS_ASSERT(journal.has_value());
  for (const std::string& frame : frames) {
    PGS_ASSERT(journal->append(as_byte_view(frame)).has_value());
    PGS_ASSERT(journal->sync().has_value());
  }
  return *space.store().get(space.object_name("tail"));
}

void read(MemoryStore& store, const ClusterSpace& space, ByteView object) {
  PGS_ASSERT(store.remove(space.object_name("tail")).has_value());
  PGS_ASSERT(store.put(space.object_name("tail"), object).has_value());
  std::size_t found = 0;
  (void)read_journal(space, "tail", [&](ByteView frame) -> Result<void> {
    PGS_ASSERT(found < frames.size() && as_text(frame) == frames[found]);
    ++found;
    return {};
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  MemoryStore store;
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  const ClusterSpace space(store, "app", *key);
  Bytes object = written(space);
  // Each three bytes: a place and what is added there; past the end, the journal grows.
  for (std::size_t i = 0; i + 2 < size; i += 3) {
    const std::size_t at = std::size_t{data[i]} * 4 + data[i + 1] % 4;
    if (at >= object.size()) object.resize(at + 1);
    object[at] ^= static_cast<std::byte>(data[i + 2]);
  }
  read(store, space, object);
  read(store, space, bytes);
  (void)parse_frame_header(bytes);
  return 0;
}
