// How far a rotation of the repository key has come: the object "rotation", there since the first one began. It
// changes by compare-and-swap. Internal to the room. Format: docs/formats/repository.md.
//
// It has the former key wrapped under the new one, and nothing the other way round: whoever has the former key learns
// nothing from it.
#pragma once

#include "repo/repository.h"

namespace pgstrata {

enum class RotationStep {
  drawn,    // the new key is drawn; a slot for it may be there; all clusters' keys are under the former one
  slotted,  // a slot for it is there for good: slots of the former key go
  moving,   // there is no slot of the former key: clusters' keys go under the new one
  settled,  // nothing is under the former key, and nothing leads to it
};
[[nodiscard]] std::string_view to_string(RotationStep step);

struct RotationRecord {
  RotationStep step = RotationStep::drawn;
  RepositoryKeyId key{};     // the new one
  RepositoryKeyId former{};  // these three not when it is settled
  Bytes salt;
  Bytes wrapped;

  [[nodiscard]] bool settled() const { return step == RotationStep::settled; }
};

inline constexpr std::string_view rotation_record_name = "rotation";

[[nodiscard]] RotationRecord begin_rotation(const RepositoryId& repository, const SecretKey& former,
                                            const SecretKey& key);
// `key` is the new one. Error: damaged.
Result<SecretKey> open_former_key(const RepositoryId& repository, const RotationRecord& record,
                                  const SecretKey& key);

[[nodiscard]] Bytes write_rotation_record(const RotationRecord& record);
// Errors: damaged; newer_format.
Result<RotationRecord> parse_rotation_record(ByteView stored);

struct StoredRotation {
  RotationRecord record;
  std::string version;  // for replace
};
// Nothing when the key has never been rotated. Errors: damaged; newer_format.
Result<std::optional<StoredRotation>> read_rotation(ObjectStore& store);

}  // namespace pgstrata
