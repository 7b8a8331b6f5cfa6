// The files data/ID of an overlay.
#include "branch/overlay_node.h"
#include "sys/durable.h"

namespace pgstrata {

Result<std::shared_ptr<FileDescriptor>> Overlay::DataFiles::open(NodeId node) {
  const std::lock_guard lock(mutex_);
  if (const auto found = open_.find(node); found != open_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }
  auto file = open_file(path(node), O_RDWR);
  if (!file && file.error().code() == ErrorCode::not_found)
    return std::unexpected(std::move(file).error().with_error_number(EIO));  // it is the overlay's loss
  if (!file) return std::unexpected(std::move(file).error());
  return keep(node, *std::move(file));
}

Result<std::shared_ptr<FileDescriptor>> Overlay::DataFiles::make(NodeId node, std::uint64_t size_bytes) {
  auto temporary = path(node);
  temporary += ".new";
  PGS_TRY(auto file, open_file(temporary, O_RDWR | O_CREAT | O_TRUNC));
  auto sized = resize_file(file, size_bytes);
  if (sized) sized = rename_file(temporary, path(node));
  if (!sized) {
    static_cast<void>(pgstrata::remove_file(temporary));
    return std::unexpected(std::move(sized).error());
  }
  names_changed_ = true;
  const std::lock_guard lock(mutex_);
  return keep(node, std::move(file));
}

std::shared_ptr<FileDescriptor> Overlay::DataFiles::keep(NodeId node, FileDescriptor file) {
  recent_.emplace_front(node, std::make_shared<FileDescriptor>(std::move(file)));
  open_[node] = recent_.begin();
  const auto kept = recent_.front().second;
  if (recent_.size() > open_files_max) {
    open_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return kept;
}

Result<void> Overlay::DataFiles::remove(NodeId node) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = open_.find(node); found != open_.end()) {
      recent_.erase(found->second);
      open_.erase(found);
    }
  }
  return pgstrata::remove_file(path(node));
}

Result<void> Overlay::DataFiles::sync_names() {
  const std::lock_guard lock(names_mutex_);
  if (!names_changed_.exchange(false)) return {};
  auto synced = sync_folder(folder_, durability_);
  if (!synced) names_changed_ = true;
  return synced;
}

}  // namespace pgstrata
