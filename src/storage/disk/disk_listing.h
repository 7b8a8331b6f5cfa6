// Lists the objects below a folder in byte order of their whole names.
#pragma once

#include "storage/disk/disk_root.h"
#include "storage/object_store.h"

namespace pgstrata {

struct ListingRange {
  std::string_view prefix;
  std::string_view after;
  std::size_t limit;
};

// As ObjectStore::list. Files and folders whose names no object may have are passed over.
// What is neither a file nor a folder, such as a symbolic link, is an object of size 0, which is damaged.
[[nodiscard]] Result<std::vector<ObjectInfo>> list_objects(const DiskRoot& root, const ListingRange& range);

}  // namespace pgstrata
