#include "app/key_choice.h"

#include "codec/digest.h"
#include "codec/secret.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::size_t generated_key_size_bytes = 32;

// A relative path without a folder lies in the working directory.
std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

KeyFile without_line_ends(Bytes content) {
  const auto is_line_end = [](std::byte byte) { return byte == std::byte{'\n'} || byte == std::byte{'\r'}; };
  while (content.size() > key_file_size_min_bytes && is_line_end(content.back())) content.pop_back();
  return {.secret = std::move(content)};
}

Result<void> write_new_file(const std::filesystem::path& path, ByteView content) {
  PGS_TRY(const FileDescriptor file, open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
  PGS_CHECK(write_all(file, content));
  PGS_CHECK(sync_file(file));
  return sync_directory(folder_of(path));
}

Error unfit_for_new_slot(Error error) {
  return std::move(error).with_hint(
      "Any 32 random bytes will do. Name a file that does not exist: it is made with a new key.");
}

}  // namespace

Result<KeyFile> read_key_file(const std::filesystem::path& path) {
  auto content = read_file(path, key_file_size_max_bytes).context("read the key file");
  if (!content.has_value()) {
    if (content.error().code() != ErrorCode::not_found) return std::unexpected(std::move(content).error());
    return std::unexpected(std::move(content).error().with_hint(
        "Bring the repository's key file to this machine; `pgstrata init` alone makes new ones."));
  }
  if (content->size() < key_file_size_min_bytes) {
    return std::unexpected(
        make_error(ErrorCode::usage, "the key file \"{}\" holds {} bytes, {} are needed", path.string(),
                   content->size(), key_file_size_min_bytes)
            .with_hint("Bring the repository's key file back from your copy of it: no new key opens what "
                       "is there."));
  }
  return without_line_ends(*std::move(content));
}

Result<KeyFile> generate_key_file(const std::filesystem::path& path) {
  const Bytes text = to_bytes(to_hex(random_bytes(generated_key_size_bytes)) + "\n");
  PGS_CHECK(write_new_file(path, text).context("make the key file"));
  return without_line_ends(text);
}

Result<KeySource> read_key(const KeyChoice& choice) {
  if (choice.key_file) {
    PGS_TRY(KeyFile file, read_key_file(*choice.key_file));
    return KeySource(std::move(file));
  }
  if (choice.passphrase) return KeySource(Passphrase{*choice.passphrase});
  return KeySource(NoEncryption{});
}

Result<NewKey> read_or_generate_key(const KeyChoice& choice) {
  NewKey key;
  if (choice.key_file) {
    PGS_TRY(const bool exists, file_exists(*choice.key_file));
    key.generated = !exists;
  }
  if (key.generated) {
    PGS_TRY(key.source, generate_key_file(*choice.key_file));
  } else {
    auto source = read_key(choice);
    if (!source && source.error().code() == ErrorCode::usage)
      return std::unexpected(unfit_for_new_slot(std::move(source).error()));
    PGS_TRY(key.source, std::move(source));
  }
  return key;
}

Error without_useless_key_file(Error error, const KeyChoice& choice, const NewKey& key) {
  const bool uncertain = error.code() == ErrorCode::unavailable || error.code() == ErrorCode::failed;
  // What went wrong first is what matters.
  if (key.generated && !uncertain) static_cast<void>(durable_remove(*choice.key_file).has_value());
  return error;
}

}  // namespace pgstrata
