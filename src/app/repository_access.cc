#include "app/repository_access.h"

#include <algorithm>

#include "storage/disk/disk_store.h"
#include "storage/s3/s3_store.h"

namespace pgstrata {
namespace {

constexpr std::string_view file_scheme = "file://";

std::unexpected<Error> bad_location(std::string_view location) {
  return std::unexpected(
      make_error(ErrorCode::usage, "\"{}\" is no place for a repository", location)
          .with_hint(
              "Name a folder, as /srv/backup or file:///srv/backup, or a bucket, as s3://bucket/prefix."));
}

// The key that was given, or what the repository lets us ask for.
Result<KeySource> choose_key(const RepositoryAccess& access, ObjectStore& store) {
  if (!access.key.empty()) return read_key(access.key);
  PGS_TRY(const auto kinds, Repository::key_slot_kinds(store));
  // A slot that needs no secret stands alone: beside others, anybody may have put it there.
  const auto is_open = [](KeySlotKind kind) { return kind == KeySlotKind::none; };
  if (std::ranges::all_of(kinds, is_open)) return read_key(access.key);
  if (!access.ask_passphrase || std::ranges::find(kinds, KeySlotKind::passphrase) == kinds.end()) {
    return std::unexpected(
        make_error(ErrorCode::wrong_key, "this repository opens with a key, and was given no key")
            .with_hint(
                "Give the key with --key-file or the passphrase with --passphrase-env; --no-encryption "
                "where it was made with that."));
  }
  PGS_TRY(std::string passphrase, access.ask_passphrase());
  return KeySource(Passphrase{std::move(passphrase)});
}

}  // namespace

Result<RepositoryPlace> parse_repository_location(std::string_view location) {
  if (is_s3_location(location)) {
    PGS_TRY(S3Location place, parse_s3_location(location));
    return place;
  }
  if (location.starts_with(file_scheme)) {
    const std::string_view path = location.substr(file_scheme.size());
    if (!path.starts_with('/')) return bad_location(location);
    return std::filesystem::path(path);
  }
  if (location.empty() || location.find("://") != std::string_view::npos) return bad_location(location);
  return std::filesystem::path(location);
}

Result<std::unique_ptr<ObjectStore>> open_store(const std::string& location,
                                                const Cancellation* cancellation) {
  PGS_TRY(const RepositoryPlace place, parse_repository_location(location));
  if (const auto* s3 = std::get_if<S3Location>(&place))
    return S3Store::open(*s3, {.cancellation = cancellation});
  return DiskStore::open(std::get<std::filesystem::path>(place));
}

Result<std::unique_ptr<ObjectStore>> make_store(const RepositoryPlace& place) {
  if (const auto* s3 = std::get_if<S3Location>(&place)) return S3Store::open_or_make(*s3);
  return DiskStore::open_or_make(std::get<std::filesystem::path>(place));
}

Result<Repository> open_repository(const RepositoryAccess& access) {
  auto opened = open_store(access.location, access.cancellation);
  if (!opened && opened.error().code() == ErrorCode::not_found) {
    auto hint = opened.error().hint() + " Where there has never been one, `pgstrata init` makes it.";
    return std::unexpected(std::move(opened).error().with_hint(std::move(hint)));
  }
  PGS_TRY(auto store, std::move(opened));
  PGS_TRY(const KeySource key, choose_key(access, *store));
  return Repository::open(std::move(store), key);
}

}  // namespace pgstrata
