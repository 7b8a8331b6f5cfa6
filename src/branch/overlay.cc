#include "branch/overlay.h"

#include <algorithm>
#include <cerrno>

#include "branch/overlay_node.h"

namespace pgstrata {
namespace {

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

}  // namespace

// --- nodes and names ---

Result<Overlay::NodePtr> Overlay::node_of(NodeId node) const {
  const std::shared_lock lock(tree_mutex_);
  return get(node);
}

Result<Overlay::NodePtr> Overlay::get(NodeId node) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return fail_errno(ESTALE, "find a node of the overlay");
  return found->second;
}

Result<Overlay::NodePtr> Overlay::get_folder(NodeId node) const {
  PGS_TRY(auto folder, get(node));
  if (folder->kind != OverlayNodeKind::directory) return fail_errno(ENOTDIR, "find a folder");
  return folder;
}

// Nothing when the overlay does not know the name, or hides it.
Overlay::NodePtr Overlay::known_child(const Node& folder, const std::string& name, bool& hidden) const {
  const auto found = folder.children.find(name);
  hidden = found != folder.children.end() && found->second == 0;
  if (found == folder.children.end() || hidden) return nullptr;
  return nodes_.at(found->second);
}

Overlay::NodePtr Overlay::take_from_base(const NodePtr& folder, const std::string& name,
                                         const BaseEntry& entry) {
  auto node = new_node(entry.directory ? OverlayNodeKind::directory : OverlayNodeKind::regular, entry.mode);
  node->base_path = join(*folder->base_path, name);
  node->size_bytes = entry.size_bytes;
  node->base_limit_bytes = entry.size_bytes;
  node->logged_limit_bytes = entry.size_bytes;
  node->links = 1;
  node->parent = folder->id;
  node->name = name;
  nodes_[node->id] = node;
  folder->children[name] = node->id;
  return node;
}

Result<Overlay::NodePtr> Overlay::child(const NodePtr& folder, const std::string& name) {
  bool hidden = false;
  if (auto known = known_child(*folder, name, hidden); known || hidden) return known;
  if (!folder->base_path) return nullptr;
  PGS_TRY(const auto entry, of_base(base_.find(join(*folder->base_path, name))));
  if (!entry) return nullptr;
  return take_from_base(folder, name, *entry);
}

Result<Overlay::NodePtr> Overlay::existing_child(const NodePtr& folder, const std::string& name) {
  PGS_TRY(auto node, child(folder, name));
  if (!node) return fail_errno(ENOENT, name);
  return node;
}

Result<bool> Overlay::base_has(const Node& folder, const std::string& name) {
  if (!folder.base_path) return false;
  PGS_TRY(const auto entry, of_base(base_.find(join(*folder.base_path, name))));
  return entry.has_value();
}

Overlay::NodePtr Overlay::new_node(OverlayNodeKind kind, std::uint32_t mode) {
  auto node = std::make_shared<Node>();
  node->id = next_node_++;
  node->kind = kind;
  node->mode = mode;
  node->modified = opened_;
  return node;
}

NodeInfo Overlay::info_of(const Node& node) const {
  const std::lock_guard lock(node.mutex);
  return {
      .node = node.id,
      .kind = node.kind,
      .mode = node.mode,
      .size_bytes = node.kind == OverlayNodeKind::symbolic_link ? node.link_target.size() : node.size_bytes,
      .links = node.links,
      .modified = node.modified};
}

// --- changes: the log first, then the tree ---

void Overlay::make_own(Change& change, const NodePtr& node) {
  if (node->own || std::ranges::find(change.owned, node.get()) != change.owned.end()) return;
  if (node->parent != 0) {
    const auto& parent = nodes_.at(node->parent);
    make_own(change, parent);
  }
  change.owned.push_back(node.get());
  change.records.push_back(NodeRecord{.node = node->id,
                                      .kind = node->kind,
                                      .mode = node->mode,
                                      .base_path = node->base_path,
                                      .base_limit_bytes = node->base_limit_bytes,
                                      .link_target = node->link_target});
  if (node->parent != 0) change.records.push_back(NameRecord{node->parent, node->name, node->id});
  change.then.push_back([node] {
    node->own = true;
    node->parent = 0;
  });
}

void Overlay::bind(Change& change, const NodePtr& folder, const std::string& name, const NodePtr& node) {
  make_own(change, folder);
  make_own(change, node);
  change.records.push_back(NameRecord{folder->id, name, node->id});
  change.then.push_back([folder, name, node] {
    folder->children[name] = node->id;
    ++node->links;
  });
}

Result<void> Overlay::unbind(Change& change, const NodePtr& folder, const std::string& name) {
  PGS_TRY(const bool hides, base_has(*folder, name));
  make_own(change, folder);
  if (hides) {
    change.records.push_back(NameRecord{folder->id, name, 0});
  } else {
    change.records.push_back(ForgottenNameRecord{folder->id, name});
  }
  const auto node = nodes_.at(folder->children.at(name));
  change.then.push_back([folder, name, node, hides] {
    if (hides) {
      folder->children[name] = 0;
    } else {
      folder->children.erase(name);
    }
    node->parent = 0;
    --node->links;
  });
  return {};
}

Result<void> Overlay::commit(Change change) {
  PGS_CHECK(log_->append(change.records));
  for (const auto& apply : change.then) apply();
  return {};
}

// The caller holds the tree's mutex exclusively.
void Overlay::drop_if_unused(const NodePtr& node) {
  if (node->references != 0 || node->id == root_node) return;
  if (node->links == 0) {
    bool has_data = false;
    {
      const std::lock_guard lock(node->mutex);
      has_data = node->has_data;
    }
    nodes_.erase(node->id);
    if (!has_data) return;
    const std::lock_guard lock(dead_mutex_);
    dead_.push_back(node->id);
    dead_arrived_.notify_all();
    return;
  }
  // The base still has it: it is found there again.
  if (node->own || node->parent == 0 || !node->children.empty()) return;
  const auto parent = nodes_.at(node->parent);
  parent->children.erase(node->name);
  nodes_.erase(node->id);
  drop_if_unused(parent);
}

// --- calls ---

Result<NodeInfo> Overlay::lookup(NodeId folder_id, const std::string& name) {
  std::string base_path;
  {
    const std::shared_lock lock(tree_mutex_);
    PGS_TRY(const auto folder, get_folder(folder_id));
    bool hidden = false;
    if (const auto known = known_child(*folder, name, hidden)) {
      ++known->references;
      return info_of(*known);
    }
    if (hidden || !folder->base_path) return fail_errno(ENOENT, name);
    base_path = join(*folder->base_path, name);
  }
  PGS_TRY(const auto entry, of_base(base_.find(base_path)));  // without a lock: it may take its time
  if (!entry) return fail_errno(ENOENT, name);
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto folder, get_folder(folder_id));
  bool hidden = false;
  auto node = known_child(*folder, name, hidden);
  if (hidden) return fail_errno(ENOENT, name);
  if (!node) node = take_from_base(folder, name, *entry);
  ++node->references;
  return info_of(*node);
}

void Overlay::forget(NodeId id, std::uint64_t references) {
  {
    const std::shared_lock lock(tree_mutex_);
    const auto node = get(id);
    if (!node || ((*node)->references -= references) != 0) return;
  }
  const std::unique_lock lock(tree_mutex_);
  if (const auto node = get(id)) drop_if_unused(*node);
}

Result<NodeInfo> Overlay::info(NodeId id) {
  const std::shared_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  return info_of(*node);
}

Result<std::vector<BaseFiles::Named>> Overlay::list_base(const std::optional<std::string>& base_path) {
  if (!base_path) return std::vector<BaseFiles::Named>();
  return of_base(base_.list(*base_path));
}

std::vector<Overlay::Named> Overlay::merged(const Node& folder,
                                            const std::vector<BaseFiles::Named>& below) const {
  std::vector<Named> names;
  for (const auto& [name, id] : folder.children) {
    if (id != 0) names.push_back({name, nodes_.at(id)->kind});
  }
  for (const auto& entry : below) {
    if (folder.children.contains(entry.name)) continue;
    names.push_back({entry.name, entry.directory ? OverlayNodeKind::directory : OverlayNodeKind::regular});
  }
  return names;
}

Result<void> Overlay::check_empty(const Node& folder, const std::string& name) {
  PGS_TRY(const auto below, list_base(folder.base_path));
  if (!merged(folder, below).empty()) return fail_errno(ENOTEMPTY, name);
  return {};
}

Result<std::vector<Overlay::Named>> Overlay::list(NodeId id) {
  std::optional<std::string> base_path;
  {
    const std::shared_lock lock(tree_mutex_);
    PGS_TRY(const auto folder, get_folder(id));
    base_path = folder->base_path;
  }
  PGS_TRY(const auto below, list_base(base_path));  // without a lock: it may take its time
  const std::shared_lock lock(tree_mutex_);
  PGS_TRY(const auto folder, get_folder(id));
  return merged(*folder, below);
}

Result<NodeInfo> Overlay::make(NodeId folder_id, const std::string& name, const NodePtr& node) {
  PGS_TRY(const auto folder, get_folder(folder_id));
  PGS_TRY(const auto there, child(folder, name));
  if (there) return fail_errno(EEXIST, name);
  Change change;
  bind(change, folder, name, node);
  PGS_CHECK(commit(std::move(change)));
  nodes_[node->id] = node;
  node->references = 1;
  return info_of(*node);
}

Result<NodeInfo> Overlay::make_file(NodeId folder, const std::string& name, std::uint32_t mode) {
  const std::unique_lock lock(tree_mutex_);
  return make(folder, name, new_node(OverlayNodeKind::regular, mode));
}

Result<NodeInfo> Overlay::make_folder(NodeId folder, const std::string& name, std::uint32_t mode) {
  const std::unique_lock lock(tree_mutex_);
  return make(folder, name, new_node(OverlayNodeKind::directory, mode));
}

Result<NodeInfo> Overlay::make_symbolic_link(NodeId folder, const std::string& name, std::string target) {
  const std::unique_lock lock(tree_mutex_);
  const auto node = new_node(OverlayNodeKind::symbolic_link, 0777);
  node->link_target = std::move(target);
  return make(folder, name, node);
}

Result<NodeInfo> Overlay::add_name(NodeId id, NodeId folder_id, const std::string& name) {
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  PGS_TRY(const auto folder, get_folder(folder_id));
  if (node->kind == OverlayNodeKind::directory) return fail_errno(EPERM, name);
  PGS_TRY(const auto there, child(folder, name));
  if (there) return fail_errno(EEXIST, name);
  Change change;
  bind(change, folder, name, node);
  PGS_CHECK(commit(std::move(change)));
  ++node->references;
  return info_of(*node);
}

Result<void> Overlay::remove_file(NodeId folder_id, const std::string& name) {
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto folder, get_folder(folder_id));
  PGS_TRY(const auto node, existing_child(folder, name));
  if (node->kind == OverlayNodeKind::directory) return fail_errno(EISDIR, name);
  Change change;
  PGS_CHECK(unbind(change, folder, name));
  PGS_CHECK(commit(std::move(change)));
  drop_if_unused(node);
  return {};
}

Result<void> Overlay::remove_folder(NodeId folder_id, const std::string& name) {
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto folder, get_folder(folder_id));
  PGS_TRY(const auto node, existing_child(folder, name));
  if (node->kind != OverlayNodeKind::directory) return fail_errno(ENOTDIR, name);
  PGS_CHECK(check_empty(*node, name));
  Change change;
  PGS_CHECK(unbind(change, folder, name));
  PGS_CHECK(commit(std::move(change)));
  drop_if_unused(node);
  return {};
}

Result<void> Overlay::check_replaced(const NodePtr& node, const NodePtr& other, bool replace) {
  if (!replace) return fail_errno(EEXIST, "rename");
  const bool folder = node->kind == OverlayNodeKind::directory;
  if (other->kind != OverlayNodeKind::directory) {
    if (folder) return fail_errno(ENOTDIR, "rename");
    return {};
  }
  if (!folder) return fail_errno(EISDIR, "rename");
  return check_empty(*other, "rename");
}

Result<void> Overlay::rename(const Place& from, const Place& to, bool replace) {
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto from_folder, get_folder(from.folder));
  PGS_TRY(const auto to_folder, get_folder(to.folder));
  PGS_TRY(const auto node, existing_child(from_folder, from.name));
  PGS_TRY(const auto other, child(to_folder, to.name));
  if (other == node) return {};  // two names of one file, or the same name
  if (other) PGS_CHECK(check_replaced(node, other, replace));
  Change change;
  make_own(change, node);
  if (other) {
    // What was there is gone at the moment that the new name holds.
    change.then.push_back([other] {
      other->parent = 0;
      --other->links;
    });
  }
  bind(change, to_folder, to.name, node);
  PGS_CHECK(unbind(change, from_folder, from.name));
  PGS_CHECK(commit(std::move(change)));
  if (other) drop_if_unused(other);
  return {};
}

Result<std::string> Overlay::link_target(NodeId id) {
  const std::shared_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  if (node->kind != OverlayNodeKind::symbolic_link) return fail_errno(EINVAL, "read a link");
  return node->link_target;
}

Result<void> Overlay::set_mode(NodeId id, std::uint32_t mode) {
  const std::unique_lock lock(tree_mutex_);
  PGS_TRY(const auto node, get(id));
  if (node->mode == mode) return {};
  Change change;
  if (node->id != root_node) make_own(change, node);
  change.records.push_back(ModeRecord{node->id, mode});
  change.then.push_back([node, mode] { node->mode = mode; });
  return commit(std::move(change));
}

}  // namespace pgstrata
