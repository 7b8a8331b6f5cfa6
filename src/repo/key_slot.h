// Key slots: the ways to get at a repository's key.
//
// The repository key is drawn at init, and anew by each rotation. Each slot keeps it wrapped under a secret of the
// operator's: a passphrase (through Argon2id) or a key file (any secret of 32 bytes or more). A repository made with
// --no-encryption has one slot of kind `none`, whose secret is public: the code path is the same, every read
// is still authenticated against accidents, and nothing is secret. Format: docs/formats/repository.md.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/timestamp.h"
#include "codec/secret.h"

namespace pgstrata {

// What the operator brings to open a repository, or to make a slot.
struct Passphrase {
  std::string text;
};
struct KeyFile {
  Bytes secret;  // 32 bytes or more
};
struct NoEncryption {};
using KeySource = std::variant<NoEncryption, Passphrase, KeyFile>;

enum class KeySlotKind { none, passphrase, key_file };
[[nodiscard]] std::string_view to_string(KeySlotKind kind);
[[nodiscard]] KeySlotKind kind_of(const KeySource& source);

// Tells two repository keys apart, and nothing about them. In clear text beside what a key wraps.
using RepositoryKeyId = std::array<std::byte, 16>;
[[nodiscard]] RepositoryKeyId repository_key_id(const SecretKey& repository_key);

struct KeySlotInfo {
  std::string id;  // eight hexadecimal digits, the name an operator removes it by
  KeySlotKind kind = KeySlotKind::none;
  Timestamp created;
  // Of the key that is in it; slots of versions that knew no rotation do not say.
  std::optional<RepositoryKeyId> repository_key = {};
};

// 16 random bytes, drawn at init; two repositories never share one.
struct RepositoryId {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const RepositoryId&) const = default;
};

// The object a slot is stored as: "keys/1f2e3d4c".
[[nodiscard]] std::string key_slot_name(std::string_view id);

// Whether a slot can be made of it. Error: usage (an empty passphrase, a key file of fewer than 32 bytes).
[[nodiscard]] Result<void> check_key_source(const KeySource& source);

// The stored form of a slot: JSON, clear text around the wrapped key. Bound to the repository's id and the
// slot's, so a slot copied elsewhere does not open. `info.kind` is that of `source`. Errors: usage (an empty
// passphrase, a key file of fewer than 32 bytes); no_space (Argon2id needs 64 MiB).
[[nodiscard]] Result<Bytes> seal_key_slot(const RepositoryId& repository, const KeySlotInfo& info,
                                          const KeySource& source, const SecretKey& repository_key);

// A slot opens with a source of its own kind and with no other: one of kind `none`, which anybody can write,
// must not stand in for the key that was given. Errors: wrong_key (well-formed, but the secret does not open
// it, or it is of another kind than `source`); usage and no_space as above; not_found (a slot of another
// repository); damaged; newer_format.
[[nodiscard]] Result<SecretKey> open_key_slot(const RepositoryId& repository, std::string_view id,
                                              ByteView slot, const KeySource& source);
// Without a secret. Errors: not_found (a slot of another repository); damaged; newer_format.
[[nodiscard]] Result<KeySlotInfo> read_key_slot_info(const RepositoryId& repository, std::string_view id,
                                                     ByteView slot);

}  // namespace pgstrata
