#include "app/init_repository.h"

#include <algorithm>

#include "app/registered_cluster.h"
#include "codec/digest.h"
#include "restore/no_intrusion.h"
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

Result<Repository> make_repository(const RepositoryPlace& place, const KeySource& key, const Clock& clock) {
  PGS_TRY(auto store, make_store(place));
  return Repository::create(std::move(store), key, clock);
}

// What only a folder can be wrong by. Returns the whole path.
Result<fs::path> check_folder(const fs::path& given, const std::optional<fs::path>& key_file) {
  PGS_TRY(const fs::path folder, resolved_path(given));
  if (key_file && lies_in(*key_file, folder)) {
    return std::unexpected(
        make_error(ErrorCode::usage, "the key file \"{}\" would lie in the repository", key_file->string())
            .with_hint("Keep the key apart from what it protects."));
  }
  PGS_CHECK(check_no_intrusion(given));
  return folder;
}

}  // namespace

Result<InitOutcome> init_repository(const InitRequest& request, const Clock& clock) {
  PGS_CHECK(check_key_choice(request.key));
  PGS_TRY(RepositoryPlace place, parse_repository_location(request.location));
  InitOutcome outcome;
  if (request.key.key_file) {
    PGS_TRY(outcome.key_file, resolved_path(*request.key.key_file));
  }
  if (auto* folder = std::get_if<fs::path>(&place)) {
    PGS_TRY(*folder, check_folder(*folder, outcome.key_file));
  }
  // The key first: where it is of no use, no folder is made.
  PGS_TRY(const NewKey key, read_or_generate_key(request.key));
  outcome.key_file_generated = key.generated;
  auto repository = make_repository(place, key.source, clock);
  if (!repository.has_value()) {
    return std::unexpected(without_useless_key_file(std::move(repository).error(), request.key, key));
  }
  outcome.location = repository->store().describe();
  warn_where_one_must_write(repository->store());
  outcome.id = to_hex(repository->id().bytes);
  PGS_TRY(const auto slots, repository->key_slots());
  if (!slots.empty()) outcome.key_slot = slots.front();
  return outcome;
}

}  // namespace pgstrata
