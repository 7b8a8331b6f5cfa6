// Which secret opens the repository, as the operator names it, and reading it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "repo/key_slot.h"

namespace pgstrata {

// At most one of the three; none of them: whatever opens without a secret, or a question at the terminal.
struct KeyChoice {
  std::optional<std::filesystem::path> key_file = {};
  std::optional<std::string> passphrase = {};
  bool no_encryption = false;

  [[nodiscard]] bool empty() const { return !key_file && !passphrase && !no_encryption; }
};

inline constexpr std::size_t key_file_size_min_bytes = 32;
inline constexpr std::size_t key_file_size_max_bytes = std::size_t{1} << 20;

// The file's bytes; line ends after them do not count (while 32 bytes remain), so that a key written down and
// typed in again is the same key. Errors: not_found, permission, usage (shorter than 32 bytes), failed (over
// 1 MiB); their hints are for a repository that is to be opened.
[[nodiscard]] Result<KeyFile> read_key_file(const std::filesystem::path& path);

// Draws 32 random bytes and writes them as hexadecimal digits and a line end, mode 0600. The file is durable
// when this returns. Error: already_exists, when there is something at `path`; it stays as it is.
[[nodiscard]] Result<KeyFile> generate_key_file(const std::filesystem::path& path);

// Error: those of read_key_file.
[[nodiscard]] Result<KeySource> read_key(const KeyChoice& choice);

// A key for a new slot.
struct NewKey {
  KeySource source;
  bool generated = false;  // its file was made for it
};
// read_key, but a key file that does not exist is generated, and the hint about one that is too short is for a
// new key.
[[nodiscard]] Result<NewKey> read_or_generate_key(const KeyChoice& choice);
// For the error that kept a new slot from being stored: a key that was generated for it protects nothing, and
// its file is removed. It stays where the slot may be there all the same, its answer lost.
[[nodiscard]] Error without_useless_key_file(Error error, const KeyChoice& choice, const NewKey& key);

}  // namespace pgstrata
