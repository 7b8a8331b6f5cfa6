#include "app/repository_keys.h"

namespace pgstrata {

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

}  // namespace pgstrata
