#include "app/init_repository.h"

#include <algorithm>

#include "codec/digest.h"
#include "restore/no_intrusion.h"
#include "storage/disk/disk_store.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

bool lies_in(const fs::path& path, const fs::path& folder) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

Result<void> check_key_choice(const KeyChoice& key) {
  if (!key.empty()) return {};
  return std::unexpected(
      make_error(ErrorCode::usage, "say how the repository is to be encrypted")
          .with_hint(
              "Give --key-file F (made when it does not exist), or --passphrase-env V with the passphrase in "
              "the variable V; --no-encryption leaves everything readable."));
}

Result<Repository> make_repository(const fs::path& folder, const KeySource& key, const Clock& clock) {
  PGS_TRY(auto store, DiskStore::open_or_make(folder));
  return Repository::create(std::move(store), key, clock);
}

}  // namespace

Result<InitOutcome> init_repository(const InitRequest& request, const Clock& clock) {
  PGS_CHECK(check_key_choice(request.key));
  PGS_TRY(const fs::path given, parse_repository_location(request.location));
  PGS_TRY(const fs::path folder, resolved_path(given));
  InitOutcome outcome{.location = folder.string(), .id = {}, .key_slot = {}, .key_file = {}};
  if (request.key.key_file) {
    PGS_TRY(outcome.key_file, resolved_path(*request.key.key_file));
    if (lies_in(*outcome.key_file, folder)) {
      return std::unexpected(make_error(ErrorCode::usage, "the key file \"{}\" would lie in the repository",
                                        outcome.key_file->string())
                                 .with_hint("Keep the key apart from what it protects."));
    }
  }
  PGS_CHECK(check_no_intrusion(given));
  // The key first: where it is of no use, no folder is made.
  PGS_TRY(const NewKey key, read_or_generate_key(request.key));
  outcome.key_file_generated = key.generated;
  auto repository = make_repository(folder, key.source, clock);
  if (!repository.has_value()) {
    return std::unexpected(without_useless_key_file(std::move(repository).error(), request.key, key));
  }
  outcome.id = to_hex(repository->id().bytes);
  PGS_TRY(const auto slots, repository->key_slots());
  if (!slots.empty()) outcome.key_slot = slots.front();
  return outcome;
}

}  // namespace pgstrata
