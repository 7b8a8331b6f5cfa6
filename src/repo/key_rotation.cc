#include "repo/key_rotation.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "repo/cluster_folders.h"
#include "repo/cluster_key.h"

namespace pgstrata {
namespace {

std::string display_slots(const std::vector<std::string>& ids) {
  std::string text;
  for (const std::string& id : ids) text += (text.empty() ? "" : ", ") + id;
  return text;
}

std::unexpected<Error> others_stand_in_the_way(const std::vector<std::string>& others) {
  return std::unexpected(
      make_error(
          ErrorCode::usage,
          "other secrets than the ones given open this repository, and cannot get the new key: key slot{} {}",
          others.size() == 1 ? "" : "s", display_slots(others))
          .with_hint(
              "With --drop-other-slots they are removed; whoever needs one gets a new one afterwards with "
              "`pgstrata key add`."));
}

std::unexpected<Error> another_secret_is_needed(const std::vector<std::string>& slots) {
  return std::unexpected(
      make_error(
          ErrorCode::busy,
          "a rotation with another secret is under way, or was cut short: the new key is in key slot {}",
          display_slots(slots))
          .with_hint("Wait for it to end, or finish it: run `pgstrata key rotate` with the secret of that "
                     "slot. If that "
                     "is lost, `pgstrata key remove` that slot, and begin anew."));
}

unsigned random_below_200() {
  return static_cast<unsigned>(random_bytes(1)[0]) % 200;
}

// Error: damaged. It could not be moved, and would be lost with the former key.
std::unexpected<Error> does_not_open(const std::string& cluster, const Error& why) {
  return std::unexpected(
      make_error(ErrorCode::damaged, "the key of cluster {} does not open: {}", cluster, why.message())
          .with_hint(
              fmt::format("Bring clusters/{}/key back from a copy of the repository; if there is none, "
                          "`pgstrata shred {}` removes what is left of the cluster.",
                          cluster, cluster)));
}

bool opens_with(const RepositoryId& id, const ListedSlot& slot, const KeySource& source) {
  return open_key_slot(id, slot.id, slot.content, source).has_value();
}

}  // namespace

KeyRotation::KeyRotation(ObjectStore& store, const RepositoryId& id, Secrets secrets,
                         const KeyRotationOptions& options, const Clock& clock)
    : store_(store), id_(id), secrets_(std::move(secrets)), options_(options), clock_(clock) {}

Result<void> KeyRotation::run(const KeyRing& ring) {
  keys_.push_back(ring.current);
  if (ring.other) keys_.push_back(*ring.other);
  // Each turn goes one step further, or sees that somebody else has.
  while (true) {
    PGS_TRY(const Rotation rotation, read_rotation(store_));
    PGS_CHECK(drop_overtaken_slot(rotation));
    PGS_TRY(ring_, ring_now(rotation));
    const bool settled = !rotation || rotation->record.settled();
    if (settled && rotation && working_on_ == rotation->record.key) {
      PGS_CHECK(ensure_slot(rotation->record, ring_->current));
      break;
    }
    if (settled) {
      PGS_CHECK(begin(rotation));
    } else {
      PGS_CHECK(step(*rotation));
    }
  }
  outcome_.slot = *slot_;
  outcome_.resumed = !begun_here_;
  return {};
}

// It would open nothing: another rotation took the place of the one that it was made for.
Result<void> KeyRotation::drop_overtaken_slot(const Rotation& rotation) {
  if (!slot_ || is_of_use(*slot_, rotation)) return {};
  PGS_CHECK(store_.remove(key_slot_name(slot_->id)));
  slot_.reset();
  working_on_.reset();
  return {};
}

// Slots may be gone by which the repository was opened: keys that are known count first, the new one before all.
Result<KeyRing> KeyRotation::ring_now(const Rotation& rotation) const {
  if (rotation) {
    if (const auto key = key_of(rotation->record.key)) {
      PGS_TRY(auto ring, ring_of(id_, *key, rotation));
      return *std::move(ring);
    }
  }
  for (const KeySource* source : {&secrets_.opening, &secrets_.next}) {
    auto opened = open_ring(store_, id_, *source);
    if (opened.has_value()) return std::move(opened->ring);
    if (opened.error().code() != ErrorCode::wrong_key) return std::unexpected(std::move(opened).error());
    if (source == &secrets_.next) return std::unexpected(std::move(opened).error());
  }
  return fail(ErrorCode::wrong_key, "no key");
}

std::optional<SecretKey> KeyRotation::key_of(const RepositoryKeyId& id) const {
  const auto found = std::ranges::find(keys_, id, repository_key_id);
  return found == keys_.end() ? std::nullopt : std::optional(*found);
}

// In the place of one that led to nothing, where there is one.
Result<void> KeyRotation::begin(const Rotation& rotation) {
  PGS_CHECK(check_key_source(secrets_.next));
  PGS_CHECK(check_cluster_keys(rotation));
  PGS_CHECK(slots_to_remove(repository_key_id(ring_->current), {}));
  const SecretKey key = SecretKey::random();
  const RotationRecord record = begin_rotation(id_, ring_->current, key);
  keys_.push_back(ring_->current);
  keys_.push_back(key);
  const auto written =
      store_.replace(rotation_record_name, rotation ? std::optional(rotation->version) : std::nullopt,
                     write_rotation_record(record));
  if (!written.has_value()) {
    if (written.error().code() == ErrorCode::busy) return {};
    return std::unexpected(written.error());
  }
  begun_here_ = true;
  working_on_ = record.key;
  return {};
}

Result<void> KeyRotation::step(const StoredRotation& rotation) {
  const RotationRecord& record = rotation.record;
  PGS_CHECK(learn_key(record));
  const auto key = key_of(record.key);
  if (!key) {
    PGS_TRY(const bool anew, can_begin_anew(rotation));
    if (!anew) return {};
    // Two at once that take the other's for one that led to nothing.
    if (begun_anew_++ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(random_below_200()));
    return begin(rotation);
  }
  if (working_on_ != record.key) {
    working_on_ = record.key;
    begun_here_ = false;
    slot_.reset();
  }
  PGS_CHECK(ensure_slot(record, *key));
  switch (record.step) {
    case RotationStep::drawn:
      return advance(rotation, RotationStep::slotted);
    case RotationStep::slotted:
      PGS_CHECK(remove_former_slots(record, *key));
      return advance(rotation, RotationStep::moving);
    case RotationStep::moving:
      PGS_CHECK(remove_former_slots(record, *key));
      PGS_CHECK(move_cluster_keys(record));
      return advance(rotation, RotationStep::settled);
    case RotationStep::settled:
      break;
  }
  return {};
}

// From a slot of one of the secrets.
Result<void> KeyRotation::learn_key(const RotationRecord& record) {
  if (key_of(record.key)) return {};
  PGS_TRY(const auto listed, read_slots(store_));
  for (const ListedSlot& slot : listed) {
    const auto info = read_key_slot_info(id_, slot.id, slot.content);
    if (!info.has_value() || info->repository_key != record.key) continue;
    for (const KeySource* source : {&secrets_.next, &secrets_.opening}) {
      const auto key = open_key_slot(id_, slot.id, slot.content, *source);
      if (!key.has_value() || repository_key_id(*key) != record.key) continue;
      keys_.push_back(*key);
      return {};
    }
  }
  return {};
}

// Nobody has the key of one that was drawn and got no slot. Where slots of it went, only on purpose: while it has one,
// whoever began it may be about to remove those of the former key. Error: busy.
Result<bool> KeyRotation::can_begin_anew(const StoredRotation& rotation) const {
  if (rotation.record.step == RotationStep::drawn) return true;
  PGS_TRY(const auto listed, read_slots(store_));
  std::vector<std::string> with_key;
  for (const ListedSlot& slot : listed) {
    const auto info = read_key_slot_info(id_, slot.id, slot.content);
    if (info.has_value() && info->repository_key == rotation.record.key) with_key.push_back(slot.id);
  }
  if (with_key.empty()) return true;
  return another_secret_is_needed(with_key);
}

// Whoever was quicker has gone on from here.
Result<void> KeyRotation::advance(const StoredRotation& rotation, RotationStep to) {
  RotationRecord next = rotation.record;
  next.step = to;
  const auto written = store_.replace(rotation_record_name, rotation.version, write_rotation_record(next));
  if (written.has_value() || written.error().code() == ErrorCode::busy) return {};
  return std::unexpected(written.error());
}

Result<std::optional<KeySlotInfo>> KeyRotation::find_slot(const RotationRecord& record) const {
  PGS_TRY(const auto listed, read_slots(store_));
  for (const ListedSlot& slot : listed) {
    auto info = read_key_slot_info(id_, slot.id, slot.content);
    if (!info.has_value() || info->repository_key != record.key) continue;
    const auto key = open_key_slot(id_, slot.id, slot.content, secrets_.next);
    if (key.has_value() && repository_key_id(*key) == record.key) return std::optional(*std::move(info));
  }
  return std::optional<KeySlotInfo>();
}

// A slot that is found may not be durable yet, and former ones go because of it.
Result<void> KeyRotation::ensure_slot(const RotationRecord& record, const SecretKey& key) {
  if (slot_) return {};
  PGS_TRY(slot_, find_slot(record));
  if (slot_) return store_.make_names_durable(key_slot_prefix);
  PGS_TRY(slot_, put_new_slot(store_, id_, key, secrets_.next, clock_));
  return {};
}

// Slots that do not have `key`: of the secrets at hand, with a key that opens nothing, and, where that is allowed, of
// other secrets. Error: usage.
Result<std::vector<std::string>> KeyRotation::slots_to_remove(
    const RepositoryKeyId& former, const std::optional<RepositoryKeyId>& key) const {
  PGS_TRY(const auto listed, read_slots(store_));
  std::vector<std::string> to_remove;
  std::vector<std::string> others;
  for (const ListedSlot& slot : listed) {
    const auto info = read_key_slot_info(id_, slot.id, slot.content);
    if (!info.has_value() && info.error().code() == ErrorCode::not_found) continue;  // another repository's
    const auto has = info.has_value() ? info->repository_key : std::nullopt;
    if (has && has == key) continue;
    const bool opens_nothing = has && *has != former;
    const bool at_hand =
        opens_nothing || opens_with(id_, slot, secrets_.opening) || opens_with(id_, slot, secrets_.next);
    (at_hand ? to_remove : others).push_back(slot.id);
  }
  if (!others.empty() && !options_.drop_other_slots) return others_stand_in_the_way(others);
  to_remove.insert(to_remove.end(), others.begin(), others.end());
  return to_remove;
}

Result<void> KeyRotation::remove_former_slots(const RotationRecord& record, const SecretKey& key) {
  PGS_TRY(const auto to_remove, slots_to_remove(record.former, record.key));
  for (const std::string& id : to_remove) {
    PGS_CHECK(store_.remove(key_slot_name(id)));
    outcome_.removed_slots.push_back(id);
  }
  // Somebody may have removed the new one meanwhile, who saw the former ones.
  const auto there = store_.stat(key_slot_name(slot_->id));
  if (there.has_value()) return {};
  if (there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
  PGS_TRY(slot_, put_new_slot(store_, id_, key, secrets_.next, clock_));
  return {};
}

Result<void> KeyRotation::check_cluster_keys(const Rotation& rotation) const {
  PGS_TRY(const ClusterFolders folders, list_cluster_folders(store_));
  for (const std::string& name : folders.with_key) {
    const auto stored = store_.get(cluster_object_name(name, cluster_key_name));
    if (!stored.has_value() && stored.error().code() == ErrorCode::not_found) continue;
    if (!stored.has_value()) return std::unexpected(stored.error());
    const auto opened = open_cluster_key(id_, ring_->current, name, *stored);
    if (opened.has_value()) continue;
    // Where another rotation went on meanwhile, the next look sees it.
    PGS_TRY(const Rotation now, read_rotation(store_));
    const bool as_before =
        now.has_value() == rotation.has_value() && (!now || now->version == rotation->version);
    if (as_before) return does_not_open(name, opened.error());
  }
  return {};
}

Result<void> KeyRotation::move_cluster_keys(const RotationRecord& record) {
  const auto key = key_of(record.key);
  PGS_TRY(const SecretKey former, open_former_key(id_, record, *key));
  PGS_TRY(const ClusterFolders folders, list_cluster_folders(store_));
  for (const std::string& name : folders.with_key) PGS_CHECK(move_cluster_key(name, former, *key));
  return {};
}

Result<void> KeyRotation::move_cluster_key(const std::string& name, const SecretKey& former,
                                           const SecretKey& key) {
  const std::string object_name = cluster_object_name(name, cluster_key_name);
  while (true) {
    const auto stored = store_.get_versioned(object_name);
    if (!stored.has_value() && stored.error().code() == ErrorCode::not_found) return {};  // shredded
    if (!stored.has_value()) return std::unexpected(stored.error());
    // Whoever moved it may have died before that was durable.
    if (open_cluster_key(id_, key, name, stored->content).has_value())
      return store_.make_names_durable(object_name);
    const auto cluster_key = open_cluster_key(id_, former, name, stored->content);
    if (!cluster_key.has_value()) return does_not_open(name, cluster_key.error());
    const auto moved =
        store_.replace(object_name, stored->version, seal_cluster_key(id_, key, name, *cluster_key));
    if (moved.has_value()) {
      ++outcome_.clusters;
      return {};
    }
    if (moved.error().code() != ErrorCode::busy) return std::unexpected(moved.error());
  }
}

}  // namespace pgstrata
