// One call of Repository::rotate_key. Internal to the room. The steps are those of RotationStep; the reasons for their
// order are in docs/decisions/0021-key-rotation.md.
#pragma once

#include "repo/key_ring.h"

namespace pgstrata {

class KeyRotation {
 public:
  struct Secrets {
    KeySource opening;  // by which the repository was opened
    KeySource next;     // which opens it from now on
  };

  // All is borrowed but the secrets.
  KeyRotation(ObjectStore& store, const RepositoryId& id, Secrets secrets, const KeyRotationOptions& options,
              const Clock& clock);

  // Until the rotation that is under way, or a new one, is settled. `ring` is what the repository was opened with.
  Result<void> run(const KeyRing& ring);

  // After run.
  [[nodiscard]] const KeyRotationOutcome& outcome() const { return outcome_; }
  [[nodiscard]] const KeyRing& ring() const { return *ring_; }

 private:
  using Rotation = std::optional<StoredRotation>;

  Result<void> drop_overtaken_slot(const Rotation& rotation);
  Result<KeyRing> ring_now(const Rotation& rotation) const;
  Result<void> begin(const Rotation& rotation);
  Result<void> step(const StoredRotation& rotation);
  Result<bool> can_begin_anew(const StoredRotation& rotation) const;
  Result<void> advance(const StoredRotation& rotation, RotationStep to);
  [[nodiscard]] std::optional<SecretKey> key_of(const RepositoryKeyId& id) const;

  Result<void> ensure_slot(const RotationRecord& record, const SecretKey& key);
  Result<std::optional<KeySlotInfo>> find_slot(const RotationRecord& record) const;
  Result<std::vector<std::string>> slots_to_remove(const RepositoryKeyId& former,
                                                   const std::optional<RepositoryKeyId>& key) const;
  Result<void> remove_former_slots(const RotationRecord& record, const SecretKey& key);
  Result<void> learn_key(const RotationRecord& record);
  Result<void> check_cluster_keys(const Rotation& rotation) const;
  Result<void> move_cluster_keys(const RotationRecord& record);
  Result<void> move_cluster_key(const std::string& name, const SecretKey& former, const SecretKey& key);

  ObjectStore& store_;
  const RepositoryId& id_;
  const Secrets secrets_;
  const KeyRotationOptions& options_;
  const Clock& clock_;
  std::vector<SecretKey> keys_;  // those that are known, of both sides
  std::optional<KeyRing> ring_;
  std::optional<RepositoryKeyId> working_on_;  // the new key of the rotation that this call takes part in
  bool begun_here_ = false;
  int begun_anew_ = 0;
  std::optional<KeySlotInfo> slot_;
  KeyRotationOutcome outcome_;
};

}  // namespace pgstrata
