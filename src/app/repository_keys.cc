#include "app/repository_keys.h"

#include "app/registered_cluster.h"

namespace pgstrata {
namespace {

// Without its file, a slot that is there would lead nowhere.
Error without_unused_key_file(const Repository& repository, Error error, const KeyChoice& key,
                              const NewKey& made) {
  const auto in_use = repository.opens_with(made.source);
  if (!in_use.has_value() || *in_use) return error;
  return without_useless_key_file(std::move(error), key, made);
}

}  // namespace

Result<AddKeyOutcome> add_repository_key(Repository& repository, const KeyChoice& key, const Clock& clock) {
  if (key.empty()) {
    return std::unexpected(make_error(ErrorCode::usage, "say which key to add")
                               .with_hint("Give --new-key-file F (made when it does not exist) or "
                                          "--new-passphrase-env V."));
  }
  PGS_TRY(const NewKey made, read_or_generate_key(key));
  auto slot = repository.add_key_slot(made.source, clock);
  if (!slot) return std::unexpected(without_useless_key_file(std::move(slot).error(), key, made));
  return AddKeyOutcome{.slot = *std::move(slot), .key_file_generated = made.generated};
}

Result<RotateKeyOutcome> rotate_repository_key(Repository& repository, const KeyChoice& key,
                                               const KeyRotationOptions& options, const Clock& clock) {
  warn_where_one_must_write(repository.store());
  if (key.empty()) {
    PGS_TRY(KeyRotationOutcome rotation, repository.rotate_key({}, options, clock));
    return RotateKeyOutcome{.rotation = std::move(rotation), .key_file_generated = false};
  }
  PGS_TRY(const NewKey made, read_or_generate_key(key));
  auto rotation = repository.rotate_key(made.source, options, clock);
  if (!rotation)
    return std::unexpected(without_unused_key_file(repository, std::move(rotation).error(), key, made));
  return RotateKeyOutcome{.rotation = *std::move(rotation), .key_file_generated = made.generated};
}

}  // namespace pgstrata
