#include "repo/stored_slots.h"

#include "codec/digest.h"
#include "repo/clear_json.h"

namespace pgstrata {

Result<std::vector<ListedSlot>> read_slots(ObjectStore& store) {
  PGS_TRY(const auto objects, store.list_all(key_slot_prefix));
  std::vector<ListedSlot> slots;
  for (const ObjectInfo& object : objects) {
    auto content = store.get(object.name, max_clear_json_bytes);
    const auto code = content ? ErrorCode{} : content.error().code();
    if (!content && code == ErrorCode::not_found) continue;  // removed meanwhile
    if (!content && code != ErrorCode::damaged) return std::unexpected(std::move(content).error());
    // One that is too large to be a slot is told from its content, as any other damage.
    slots.push_back({.id = object.name.substr(key_slot_prefix.size()),
                     .content = content ? *std::move(content) : Bytes()});
  }
  return slots;
}

Result<KeySlotInfo> put_new_slot(ObjectStore& store, const RepositoryId& id, const SecretKey& key,
                                 const KeySource& source, const Clock& clock) {
  constexpr std::size_t slot_id_size_bytes = 4;
  const KeySlotInfo info{.id = to_hex(random_bytes(slot_id_size_bytes)),
                         .kind = kind_of(source),
                         .created = clock.now(),
                         .repository_key = repository_key_id(key)};
  PGS_TRY(const Bytes slot, seal_key_slot(id, info, source, key));
  PGS_CHECK(store.put(key_slot_name(info.id), slot));
  return info;
}

}  // namespace pgstrata
