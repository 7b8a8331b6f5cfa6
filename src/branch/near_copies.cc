#include "branch/near_copies.h"

#include <unistd.h>

#include "codec/digest.h"

namespace pgstrata {

std::string shared_name(const ClusterSpace& space) {
  const auto key = space.object_key({}, "cache name v1");
  return fmt::format("pgstrata-{}-{}", ::geteuid(), to_hex(key.view().first(8)));
}

std::unique_ptr<NearStore> open_near_copies(const ClusterSpace& space,
                                            const std::filesystem::path& state_directory) {
  if (!space.store().capabilities().far) return nullptr;
  NearStoreOptions options;
  options.folder = state_directory / "cache" / shared_name(space);
  // Packs, and of the WAL what is sealed: tails grow.
  options.is_written_once = [packs = space.object_name("packs/"),
                             wal = space.object_name("wal/")](std::string_view name) {
    return name.starts_with(packs) || (name.starts_with(wal) && !name.ends_with(".tail"));
  };
  return std::make_unique<NearStore>(space.store(), std::move(options));
}

}  // namespace pgstrata
