#include "repo/repository.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "codec/digest.h"
#include "repo/clear_json.h"

namespace pgstrata {
namespace {

constexpr ClearJsonForm descriptor_form{.format = "pgstrata repository", .version = 1};
constexpr std::string_view descriptor_name = "repository";
constexpr std::string_view key_slot_prefix = "keys/";
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

struct ListedSlot {
  std::string id;
  Bytes content;
};

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
  const KeySlotInfo info{
      .id = to_hex(random_bytes(slot_id_size_bytes)), .kind = kind_of(source), .created = clock.now()};
  PGS_TRY(const Bytes slot, seal_key_slot(id, info, source, key));
  PGS_CHECK(store.put(key_slot_name(info.id), slot));
  return info;
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

// What came of trying a secret on every slot.
struct SlotTrial {
  std::optional<SecretKey> key;
  std::vector<KeySlotKind> kinds;    // of the slots there are
  std::string opened;                // the slot that gave the key
  std::optional<Error> obstacle;     // why a slot could not be tried
  std::vector<std::string> foreign;  // names of those that are another repository's
};

SlotTrial try_slots(const std::vector<ListedSlot>& slots, const RepositoryId& id, const KeySource& source) {
  SlotTrial trial;
  for (const ListedSlot& slot : slots) {
    const auto info = read_key_slot_info(id, slot.id, slot.content);
    if (!info.has_value()) {
      if (info.error().code() != ErrorCode::not_found) {
        trial.obstacle = info.error();
      } else {
        trial.foreign.push_back(key_slot_name(slot.id));
      }
      continue;
    }
    trial.kinds.push_back(info->kind);
    if (trial.key.has_value()) continue;
    auto key = open_key_slot(id, slot.id, slot.content, source);
    if (key.has_value()) {
      trial.key = *key;
      trial.opened = slot.id;
    } else if (key.error().code() != ErrorCode::wrong_key) {
      trial.obstacle = key.error();
    }
  }
  return trial;
}

// Of the slots that can be read, but for one.
std::vector<KeySlotKind> kinds_of_others(const std::vector<ListedSlot>& slots, const RepositoryId& repository,
                                         std::string_view but_for) {
  std::vector<KeySlotKind> kinds;
  for (const ListedSlot& slot : slots) {
    if (slot.id == but_for) continue;
    const auto info = read_key_slot_info(repository, slot.id, slot.content);
    if (info.has_value()) kinds.push_back(info->kind);
  }
  return kinds;
}

std::string_view display_name(KeySlotKind kind) {
  switch (kind) {
    case KeySlotKind::passphrase:
      return "a passphrase";
    case KeySlotKind::key_file:
      return "a key file";
    case KeySlotKind::none:
      break;
  }
  return "no key";
}

std::string display_names(std::vector<KeySlotKind> kinds) {
  std::ranges::sort(kinds);
  kinds.erase(std::ranges::unique(kinds).begin(), kinds.end());
  std::string text;
  for (const KeySlotKind kind : kinds) {
    if (!text.empty()) text += " or ";
    text += display_name(kind);
  }
  return text;
}

std::string display_foreign(const SlotTrial& trial) {
  std::string names;
  for (const std::string& name : trial.foreign)
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
  return fmt::format("{} {} of another repository than \"{}\"", names,
                     trial.foreign.size() == 1 ? "is" : "are", descriptor_name);
}

// An init that was cut short leaves such slots; so does whoever copies them over those of this one.
std::string hint_at_foreign(const SlotTrial& trial) {
  return trial.foreign.empty() ? ""
                               : " " + display_foreign(trial) + ": was it copied over one of this one's?";
}

Error explain_refusal(const SlotTrial& trial, KeySlotKind tried) {
  if (std::ranges::find(trial.kinds, tried) != trial.kinds.end()) {
    if (trial.obstacle.has_value() && trial.obstacle->code() == ErrorCode::usage) return *trial.obstacle;
    return make_error(ErrorCode::wrong_key, "no key slot of this repository opens with this {}",
                      tried == KeySlotKind::passphrase ? "passphrase" : "key file")
        .with_hint(fmt::format("The repository opens with {}; check that it is the one of this repository.{}",
                               display_names(trial.kinds), hint_at_foreign(trial)));
  }
  if (trial.obstacle.has_value()) return *trial.obstacle;
  if (trial.kinds.empty() && !trial.foreign.empty()) {
    return make_error(ErrorCode::damaged, "the repository has no key slot of its own: {}",
                      display_foreign(trial))
        .with_hint("One of the two was copied here from elsewhere: bring back the one that belongs here.");
  }
  if (trial.kinds.empty())
    return make_error(ErrorCode::damaged, "the repository has no key slot any more, nothing below \"{}\"",
                      key_slot_prefix);
  const bool open = std::ranges::find(trial.kinds, KeySlotKind::none) != trial.kinds.end();
  if (open) {
    return make_error(ErrorCode::wrong_key, "this repository is not encrypted, and was given {}",
                      display_name(tried))
        .with_hint(
            "Is it the right one? Somebody may have put another in its place. If it was made with "
            "--no-encryption and is meant, give no key.");
  }
  return make_error(ErrorCode::wrong_key, "this repository opens with {}, and was given {}",
                    display_names(trial.kinds), display_name(tried))
      .with_hint("Give the key with --key-file or the passphrase with --passphrase-env." +
                 hint_at_foreign(trial));
}

bool has_open_slot(const std::vector<KeySlotKind>& kinds) {
  return std::ranges::find(kinds, KeySlotKind::none) != kinds.end();
}

}  // namespace

Repository::Repository(std::unique_ptr<ObjectStore> store, RepositoryId id, const SecretKey& key,
                       bool encrypted)
    : store_(std::move(store)), id_(id), key_(key), encrypted_(encrypted) {}

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
  Repository repository(std::move(store), id, key, slot.kind != KeySlotKind::none);
  repository.opened_slot_ = slot.id;
  return repository;
}

Result<Repository> Repository::open(std::unique_ptr<ObjectStore> store, const KeySource& source) {
  PGS_TRY(const RepositoryId id, read_descriptor(*store));
  PGS_TRY(const auto slots, read_slots(*store));
  const SlotTrial trial = try_slots(slots, id, source);
  if (!trial.key.has_value()) return std::unexpected(explain_refusal(trial, kind_of(source)));
  Repository repository(std::move(store), id, *trial.key, !has_open_slot(trial.kinds));
  repository.opened_slot_ = trial.opened;
  return repository;
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
  PGS_TRY(const auto slots, read_slots(*store_));
  if (const SlotTrial trial = try_slots(slots, id_, source); trial.key.has_value()) {
    return std::unexpected(
        make_error(ErrorCode::already_exists, "key slot {} opens with this {} already", trial.opened,
                   kind_of(source) == KeySlotKind::passphrase ? "passphrase" : "key file")
            .with_hint(
                "Two slots of one key would be no second way in: removing one would leave the other."));
  }
  PGS_TRY(KeySlotInfo info, put_new_slot(*store_, id_, key_, source, clock));
  if (info.kind == KeySlotKind::none) encrypted_ = false;
  return info;
}

Result<void> Repository::remove_key_slot(std::string_view id) {
  PGS_TRY(const auto slots, read_slots(*store_));
  const auto slot = std::ranges::find(slots, id, &ListedSlot::id);
  if (slot == slots.end()) return fail(ErrorCode::not_found, "there is no key slot \"{}\"", id);
  if (kinds_of_others(slots, id_, id).empty()) {
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
  const auto kinds_left = kinds_of_others(left, id_, id);
  if (kinds_left.empty()) {
    PGS_CHECK(store_->put(key_slot_name(id), slot->content));
    return fail(ErrorCode::busy, "key slot {} stays: all others were removed at the same time", id);
  }
  encrypted_ = !has_open_slot(kinds_left);
  return {};
}

}  // namespace pgstrata
