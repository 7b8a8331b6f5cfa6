#include "branch/near_copies.h"

#include <unistd.h>

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

}  // namespace

std::string shared_name(const ClusterSpace& space) {
  const auto key = space.object_key({}, "cache name v1");
  return fmt::format("pgstrata-{}-{}", ::geteuid(), to_hex(key.view().first(8)));
}

std::unique_ptr<NearStore> open_near_copies(const ClusterSpace& space,
                                            const std::filesystem::path& state_directory) {
  if (!space.store().capabilities().far) return nullptr;
  NearStoreOptions options;
  options.folder = state_directory / "cache" / shared_name(space);
  if (would_be_far(options.folder)) return nullptr;
  // Packs, and of the WAL what is sealed: tails grow. The name of a segment comes again when a longer one
  // replaces what there was of it.
  options.kept_by = [packs = space.object_name("packs/"), wal = space.object_name("wal/")](auto name) {
    if (name.starts_with(packs)) return KeptBy::name;
    return name.starts_with(wal) && !name.ends_with(".tail") ? KeptBy::name_and_version : KeptBy::nothing;
  };
  return std::make_unique<NearStore>(space.store(), std::move(options));
}

}  // namespace pgstrata
