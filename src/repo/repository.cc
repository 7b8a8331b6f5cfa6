#include "repo/repository.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "codec/digest.h"
#include "repo/clear_json.h"
#include "repo/key_ring.h"
#include "repo/key_rotation.h"

namespace pgstrata {
namespace {

constexpr ClearJsonForm descriptor_form{.format = "pgstrata repository", .version = 1};
constexpr std::string_view descriptor_name = "repository";
constexpr std::size_t list_page = 100;

Bytes write_descriptor(const RepositoryId& id, Timestamp created) {
  return write_clear_json({{"format", descriptor_form.format},
                           {"version", descriptor_form.version},
                           {"id", to_hex(id.bytes)},
                           {"created", to_rfc3339(created)}});
}

Result<RepositoryId> parse_descriptor(ByteView stored) {
  PGS_TRY(const nlohmann::json json, parse_clear_json(stored, descriptor_form, descriptor_name));
  RepositoryId id;
  const auto bytes = hex_field(json, "id", id.bytes.size());
  if (!bytes.has_value()) {
    return fail(ErrorCode::damaged, "\"{}\" is damaged: {}", descriptor_name, bytes.error().message());
  }
  std::ranges::copy(*bytes, id.bytes.begin());
  return id;
}

Result<RepositoryId> read_descriptor(ObjectStore& store) {
  const auto descriptor = store.get(descriptor_name, max_clear_json_bytes);
  if (descriptor.has_value()) return parse_descriptor(*descriptor);
  if (descriptor.error().code() != ErrorCode::not_found) return std::unexpected(descriptor.error());
  return std::unexpected(
      make_error(ErrorCode::not_found, "there is no repository at {}", store.describe())
          .with_hint("Make one with `pgstrata init --repo ...`; if there should be one, its disk may not be "
                     "mounted."));
}

std::unexpected<Error> taken(const ObjectStore& store) {
  return std::unexpected(
      make_error(ErrorCode::already_exists, "there is a repository at {} already", store.describe())
          .with_hint("Use it as it is, or give --repo another place."));
}

// Names of key slots are no obstacle: an init that was cut short leaves one behind.
Result<void> check_empty(ObjectStore& store) {
  const auto descriptor = store.stat(descriptor_name);
  if (descriptor.has_value()) return taken(store);
  if (descriptor.error().code() != ErrorCode::not_found) return std::unexpected(descriptor.error());
  std::string after;
  while (true) {
    PGS_TRY(const auto page, store.list("", after, list_page));
    for (const ObjectInfo& object : page) {
      if (object.name.starts_with(key_slot_prefix)) continue;
      return std::unexpected(make_error(ErrorCode::usage, "{} holds other things already, \"{}\" among them",
                                        store.describe(), object.name)
                                 .with_hint("Give --repo an empty folder."));
    }
    if (page.size() < list_page) return {};
    after = page.back().name;
  }
}

// Whoever puts the descriptor has made the repository; of two at the same time, one.
Result<void> put_descriptor(ObjectStore& store, const RepositoryId& id, Timestamp created) {
  auto done = store.put(descriptor_name, write_descriptor(id, created));
  if (done.has_value() || done.error().code() != ErrorCode::already_exists) return done;
  // A retried put finds what its first try wrote.
  PGS_TRY(const Bytes there, store.get(descriptor_name, max_clear_json_bytes));
  const auto id_there = parse_descriptor(there);
  if (id_there.has_value() && *id_there == id) return {};
  return taken(store);
}

// Slots that an init which was cut short left behind: of a repository that never came to be.
Result<void> remove_foreign_slots(ObjectStore& store, const RepositoryId& id) {
  PGS_TRY(const auto slots, read_slots(store));
  for (const ListedSlot& slot : slots) {
    const auto info = read_key_slot_info(id, slot.id, slot.content);
    if (!info.has_value() && info.error().code() == ErrorCode::not_found) {
      PGS_CHECK(store.remove(key_slot_name(slot.id)));
    }
  }
  return {};
}

// Of the slots that lead to what the repository holds, but for one.
std::vector<KeySlotKind> kinds_of_others(const std::vector<ListedSlot>& slots, const RepositoryId& repository,
                                         const std::optional<StoredRotation>& rotation,
                                         std::string_view but_for) {
  std::vector<KeySlotKind> kinds;
  for (const ListedSlot& slot : slots) {
    if (slot.id == but_for) continue;
    const auto info = read_key_slot_info(repository, slot.id, slot.content);
    if (info.has_value() && is_of_use(*info, rotation)) kinds.push_back(info->kind);
  }
  return kinds;
}

bool has_open_slot(const std::vector<KeySlotKind>& kinds) {
  return std::ranges::find(kinds, KeySlotKind::none) != kinds.end();
}

std::unexpected<Error> rotation_under_way() {
  return std::unexpected(
      make_error(ErrorCode::busy, "the repository's key is being rotated")
          .with_hint("Wait for that to end; one that was cut short is finished by `pgstrata key rotate`."));
}

std::string version_of(const std::optional<StoredRotation>& rotation) {
  return rotation ? rotation->version : "";
}

}  // namespace

Repository::Repository(std::unique_ptr<ObjectStore> store, RepositoryId id, KeySource source, KeyRing ring)
    : store_(std::move(store)), id_(id), source_(std::move(source)), ring_(std::move(ring)) {}

Result<Repository> Repository::create(std::unique_ptr<ObjectStore> store, const KeySource& source,
                                      const Clock& clock) {
  PGS_CHECK(check_empty(*store));
  RepositoryId id;
  fill_random(id.bytes);
  const SecretKey key = SecretKey::random();
  // In this order, so that whatever has a descriptor can be opened.
  PGS_TRY(const KeySlotInfo slot, put_new_slot(*store, id, key, source, clock));
  auto made = put_descriptor(*store, id, slot.created);
  if (!made.has_value()) {
    if (made.error().code() == ErrorCode::already_exists) PGS_CHECK(store->remove(key_slot_name(slot.id)));
    return std::unexpected(std::move(made).error());
  }
  if (const auto cleaned = remove_foreign_slots(*store, id); !cleaned.has_value()) {
    log_info("key slots of an earlier init are still there: {}", cleaned.error().describe());
  }
  Repository repository(std::move(store), id, source, {.current = key});
  repository.encrypted_ = slot.kind != KeySlotKind::none;
  repository.opened_slot_ = slot.id;
  return repository;
}

Result<Repository> Repository::open(std::unique_ptr<ObjectStore> store, const KeySource& source) {
  PGS_TRY(const RepositoryId id, read_descriptor(*store));
  PGS_TRY(OpenedRing opened, open_ring(*store, id, source));
  Repository repository(std::move(store), id, source, std::move(opened.ring));
  repository.encrypted_ = !has_open_slot(opened.kinds);
  repository.opened_slot_ = std::move(opened.slot);
  return repository;
}

Result<KeyRing> Repository::current_ring() const {
  PGS_TRY(const auto rotation, read_rotation(*store_));
  for (const auto& key : {std::optional(ring_.current), ring_.other}) {
    if (!key) continue;
    PGS_TRY(auto ring, ring_of(id_, *key, rotation));
    if (ring) return *std::move(ring);
  }
  auto opened = open_ring(*store_, id_, source_);
  if (opened.has_value()) return std::move(opened->ring);
  if (opened.error().code() != ErrorCode::wrong_key) return std::unexpected(std::move(opened).error());
  return std::unexpected(
      make_error(
          ErrorCode::wrong_key,
          "the repository's key was rotated since this command opened it, and its secret is none of the "
          "repository's any more")
          .with_hint("Run it again with the new key."));
}

Result<std::vector<KeySlotKind>> Repository::key_slot_kinds(ObjectStore& store) {
  PGS_TRY(const RepositoryId id, read_descriptor(store));
  PGS_TRY(const auto slots, read_slots(store));
  std::vector<KeySlotKind> kinds;
  for (const ListedSlot& slot : slots) {
    const auto info = read_key_slot_info(id, slot.id, slot.content);
    if (info.has_value()) kinds.push_back(info->kind);
  }
  return kinds;
}

Result<std::vector<KeySlotInfo>> Repository::key_slots() const {
  PGS_TRY(const auto slots, read_slots(*store_));
  std::vector<KeySlotInfo> infos;
  for (const ListedSlot& slot : slots) {
    auto info = read_key_slot_info(id_, slot.id, slot.content);
    if (info.has_value()) {
      infos.push_back(*std::move(info));
    } else if (info.error().code() != ErrorCode::not_found) {
      return std::unexpected(std::move(info).error());
    }
  }
  return infos;
}

Result<KeySlotInfo> Repository::add_key_slot(const KeySource& source, const Clock& clock) {
  PGS_TRY(const auto before, read_rotation(*store_));
  if (before && !before->record.settled()) return rotation_under_way();
  PGS_TRY(const KeyRing ring, current_ring());
  if (const auto opened = open_ring(*store_, id_, source); opened.has_value()) {
    return std::unexpected(
        make_error(ErrorCode::already_exists, "key slot {} opens with this {} already", opened->slot,
                   kind_of(source) == KeySlotKind::passphrase ? "passphrase" : "key file")
            .with_hint(
                "Two slots of one key would be no second way in: removing one would leave the other."));
  }
  PGS_TRY(KeySlotInfo info, put_new_slot(*store_, id_, ring.current, source, clock));
  // One that began meanwhile may not have seen the slot, which has the former key.
  PGS_TRY(const auto after, read_rotation(*store_));
  if (version_of(after) != version_of(before)) {
    PGS_CHECK(store_->remove(key_slot_name(info.id)));
    return rotation_under_way();
  }
  if (info.kind == KeySlotKind::none) encrypted_ = false;
  return info;
}

Result<void> Repository::remove_key_slot(std::string_view id) {
  PGS_TRY(const auto slots, read_slots(*store_));
  const auto slot = std::ranges::find(slots, id, &ListedSlot::id);
  if (slot == slots.end()) return fail(ErrorCode::not_found, "there is no key slot \"{}\"", id);
  PGS_TRY(const auto rotation, read_rotation(*store_));
  if (kinds_of_others(slots, id_, rotation, id).empty()) {
    return std::unexpected(
        make_error(ErrorCode::usage,
                   "key slot {} is the last one: nothing would open the repository any more", id)
            .with_hint("Add another key slot first."));
  }
  // The others may be anybody's: this one is known to open the repository.
  if (id == opened_slot_) {
    return std::unexpected(
        make_error(ErrorCode::usage, "key slot {} is the one that opened the repository just now", id)
            .with_hint("Open it with the key of another slot to remove this one."));
  }
  PGS_CHECK(store_->remove(key_slot_name(id)));
  // Two that remove each other's last slot must not both succeed: each looks after its own removal, so the
  // later one sees what the two have done.
  PGS_TRY(const auto left, read_slots(*store_));
  PGS_TRY(const auto rotation_now, read_rotation(*store_));
  const auto kinds_left = kinds_of_others(left, id_, rotation_now, id);
  if (kinds_left.empty()) {
    PGS_CHECK(store_->put(key_slot_name(id), slot->content));
    return fail(ErrorCode::busy, "key slot {} stays: all others were removed at the same time", id);
  }
  encrypted_ = !has_open_slot(kinds_left);
  return {};
}

Result<bool> Repository::opens_with(const KeySource& source) const {
  const auto opened = open_ring(*store_, id_, source);
  if (opened.has_value()) return true;
  if (opened.error().code() == ErrorCode::wrong_key) return false;
  return std::unexpected(opened.error());
}

Result<KeyRotationOutcome> Repository::rotate_key(const std::optional<KeySource>& source,
                                                  const KeyRotationOptions& options, const Clock& clock) {
  const KeySource next = source.value_or(source_);
  KeyRotation rotation(*store_, id_, {.opening = source_, .next = next}, options, clock);
  PGS_CHECK(rotation.run(ring_));
  ring_ = rotation.ring();
  source_ = next;
  opened_slot_ = rotation.outcome().slot.id;
  PGS_TRY(const auto kinds, key_slot_kinds(*store_));
  encrypted_ = !has_open_slot(kinds);
  return rotation.outcome();
}

Result<bool> Repository::key_rotation_unfinished() const {
  PGS_TRY(const auto rotation, read_rotation(*store_));
  return rotation && !rotation->record.settled();
}

}  // namespace pgstrata
