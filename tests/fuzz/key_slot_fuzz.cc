// Clear-text objects of a repository: key slots, cluster keys, the record of a rotation, the descriptor. The checksum is put right
// first, for changed fields to be read at all. Slots of kind passphrase are only parsed: opening one costs
// seconds under a fuzzer.
#include <nlohmann/json.hpp>

#include "repo/clear_json.h"
#include "repo/cluster_key.h"
#include "repo/rotation_record.h"
#include "storage/memory/memory_store.h"

using namespace pgstrata;

namespace {

void try_slot(ByteView slot) {
  constexpr RepositoryId repository{};
  const auto info = read_key_slot_info(repository, "1f2e3d4c", slot);
  if (!info || info->kind == KeySlotKind::passphrase) return;
  (void)open_key_slot(repository, "1f2e3d4c", slot, KeyFile{.secret = Bytes(32)});
}

void try_all(ByteView bytes) {
  try_slot(bytes);
  const auto key = SecretKey::from(Bytes(SecretKey::size_bytes));
  (void)open_cluster_key({}, *key, "app", bytes);
  const auto rotation = parse_rotation_record(bytes);
  if (rotation.has_value() && !rotation->settled()) (void)open_former_key({}, *rotation, *key);
  auto store = std::make_unique<MemoryStore>();
  if (!store->put("repository", bytes)) return;
  (void)Repository::open(std::move(store), NoEncryption{});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  try_all(bytes);
  const std::string_view text = as_text(bytes);
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return 0;
  json.erase("crc32c");
  try_all(write_clear_json(std::move(json)));
  return 0;
}
