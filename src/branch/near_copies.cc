#include "branch/near_copies.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/digest.h"
#include "storage/disk/network_file_system.h"

namespace pgstrata {
namespace {

// Where `folder` is or would be made.
bool would_be_far(std::filesystem::path folder) {
  std::error_code ignored;
  while (folder.has_relative_path() && !std::filesystem::exists(folder, ignored)) {
    folder = folder.parent_path();
  }
  return is_on_network_file_system(folder);
}

// What is in STATE/cache, only this user can have put there.
Result<void> make_folder_of_ours(const std::filesystem::path& state_directory,
                                 const std::filesystem::path& folder) {
  PGS_CHECK(make_directories(state_directory, 0711));  // servers of other users pass through it
  PGS_CHECK(make_directories(folder));
  PGS_TRY(const auto state, stat_file(state_directory / "."));
  PGS_TRY(const auto own, stat_file(folder));
  constexpr mode_t others_may_write = S_IWGRP | S_IWOTH;
  const bool others_replace_it =
      (state.owner != 0 && state.owner != ::geteuid()) ||
      ((state.permissions & others_may_write) != 0 && (state.permissions & S_ISVTX) == 0);
  const bool is_ours = own.kind == FileType::directory && own.owner == ::geteuid() &&
                       (own.permissions & others_may_write) == 0;
  if (is_ours && !others_replace_it) return {};
  return fail(ErrorCode::permission, "\"{}\" has to be this user's, and writable for nobody else",
              folder.native());
}

}  // namespace

std::string shared_name(const ClusterSpace& space) {
  const auto key = space.object_key({}, "cache name v1");
  return fmt::format("pgstrata-{}-{}", ::geteuid(), to_hex(key.view().first(8)));
}

std::unique_ptr<NearStore> open_near_copies(const ClusterSpace& space,
                                            const std::filesystem::path& state_directory) {
  if (!space.store().capabilities().far) return nullptr;
  const auto cache = state_directory / "cache";
  if (would_be_far(cache)) return nullptr;
  if (const auto made = make_folder_of_ours(state_directory, cache); !made) {
    log_warning("what is read of {} is not kept, and read again each time: {}", space.store().describe(),
                made.error().describe());
    return nullptr;
  }
  NearStoreOptions options;
  options.folder = cache / shared_name(space);
  // Packs, and of the WAL what is sealed: tails grow. The name of a segment comes again when a longer one
  // replaces what there was of it.
  options.kept_by = [packs = space.object_name("packs/"), wal = space.object_name("wal/")](auto name) {
    if (name.starts_with(packs)) return KeptBy::name;
    return name.starts_with(wal) && !name.ends_with(".tail") ? KeptBy::name_and_version : KeptBy::nothing;
  };
  return std::make_unique<NearStore>(space.store(), std::move(options));
}

}  // namespace pgstrata
