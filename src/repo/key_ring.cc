#include "repo/key_ring.h"

#include <algorithm>

#include "base/log.h"

namespace pgstrata {
namespace {

// What came of trying a secret on every slot.
struct SlotTrial {
  std::optional<KeyRing> ring;
  std::vector<KeySlotKind> kinds;    // of the slots there are
  std::string opened;                // the slot that gave the key
  std::string outdated;              // one that opened, but with a key that is of no use any more
  std::optional<Error> obstacle;     // why a slot could not be tried
  std::vector<std::string> foreign;  // names of those that are another repository's
};

// Error: damaged, the record of the rotation.
Result<void> try_slot(SlotTrial& trial, const ListedSlot& slot, const RepositoryId& id,
                      const KeySource& source, const std::optional<StoredRotation>& rotation) {
  const auto key = open_key_slot(id, slot.id, slot.content, source);
  if (!key.has_value()) {
    if (key.error().code() != ErrorCode::wrong_key) trial.obstacle = key.error();
    return {};
  }
  PGS_TRY(trial.ring, ring_of(id, *key, rotation));
  (trial.ring.has_value() ? trial.opened : trial.outdated) = slot.id;
  return {};
}

Result<SlotTrial> try_slots(const std::vector<ListedSlot>& slots, const RepositoryId& id,
                            const KeySource& source, const std::optional<StoredRotation>& rotation) {
  SlotTrial trial;
  for (const ListedSlot& slot : slots) {
    const auto info = read_key_slot_info(id, slot.id, slot.content);
    if (info.has_value()) {
      trial.kinds.push_back(info->kind);
      if (!trial.ring.has_value()) PGS_CHECK(try_slot(trial, slot, id, source, rotation));
    } else if (info.error().code() == ErrorCode::not_found) {
      trial.foreign.push_back(key_slot_name(slot.id));
    } else {
      trial.obstacle = info.error();
    }
  }
  return trial;
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
                     trial.foreign.size() == 1 ? "is" : "are", "repository");
}

// An init that was cut short leaves such slots; so does whoever copies them over those of this one.
std::string hint_at_foreign(const SlotTrial& trial) {
  return trial.foreign.empty() ? ""
                               : " " + display_foreign(trial) + ": was it copied over one of this one's?";
}

Error explain_outdated(const SlotTrial& trial) {
  return make_error(
             ErrorCode::wrong_key,
             "key slot {} opens with this key, but the repository's key was rotated since and the slot was "
             "left behind",
             trial.outdated)
      .with_hint(
          fmt::format("Open the repository with another key, remove the slot (`pgstrata key remove {}`) and "
                      "add this key again (`pgstrata key add`).",
                      trial.outdated));
}

Error explain_refusal(const SlotTrial& trial, KeySlotKind tried) {
  if (!trial.outdated.empty()) return explain_outdated(trial);
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

// One that is damaged must not keep anybody from what is stored: without it, what was under way alone is hidden.
Result<std::optional<StoredRotation>> read_rotation_if_whole(ObjectStore& store) {
  auto rotation = read_rotation(store);
  if (rotation.has_value() || !is_lasting_damage(rotation.error())) return rotation;
  log_warning("{}", rotation.error().describe());
  return std::optional<StoredRotation>();
}

std::vector<std::string> ids_of(const std::vector<ListedSlot>& slots) {
  std::vector<std::string> ids;
  for (const ListedSlot& slot : slots) ids.push_back(slot.id);
  return ids;
}

}  // namespace

Result<std::optional<KeyRing>> ring_of(const RepositoryId& id, const SecretKey& key,
                                       const std::optional<StoredRotation>& rotation) {
  if (!rotation) return std::optional(KeyRing{.current = key, .other = {}});
  const RotationRecord& record = rotation->record;
  const RepositoryKeyId key_id = repository_key_id(key);
  const bool clusters_moved = record.step == RotationStep::moving || record.settled();
  if (key_id == record.key) {
    if (record.settled()) return std::optional(KeyRing{.current = key, .other = {}});
    PGS_TRY(const SecretKey former, open_former_key(id, record, key));
    if (clusters_moved) return std::optional(KeyRing{.current = key, .other = former});
    return std::optional(KeyRing{.current = former, .other = key});
  }
  if (key_id == record.former && !clusters_moved) return std::optional(KeyRing{.current = key, .other = {}});
  return std::optional<KeyRing>();
}

bool is_of_use(const KeySlotInfo& slot, const std::optional<StoredRotation>& rotation) {
  if (!rotation || !slot.repository_key) return true;
  const RotationRecord& record = rotation->record;
  const bool former_is = record.step == RotationStep::drawn || record.step == RotationStep::slotted;
  return *slot.repository_key == record.key || (former_is && *slot.repository_key == record.former);
}

// The record is read after the slots: a key that it names is of use, whichever slots there are by now. Where none is,
// a rotation may have put others in the place of those that were read.
Result<OpenedRing> open_ring(ObjectStore& store, const RepositoryId& id, const KeySource& source) {
  constexpr int tries_max = 5;
  PGS_TRY(auto slots, read_slots(store));
  for (int tries = 1;; ++tries) {
    PGS_TRY(const auto rotation, read_rotation_if_whole(store));
    PGS_TRY(SlotTrial trial, try_slots(slots, id, source, rotation));
    if (trial.ring.has_value()) {
      return OpenedRing{
          .ring = *std::move(trial.ring), .slot = std::move(trial.opened), .kinds = std::move(trial.kinds)};
    }
    PGS_TRY(auto now, read_slots(store));
    if (ids_of(now) == ids_of(slots) || tries == tries_max)
      return std::unexpected(explain_refusal(trial, kind_of(source)));
    slots = std::move(now);
  }
}

}  // namespace pgstrata
