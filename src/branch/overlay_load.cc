#include <algorithm>
#include <set>

#include "branch/overlay_node.h"
#include "pg/format/text_parsing.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::string_view log_name = "log";
constexpr std::string_view data_folder_name = "data";
constexpr std::string_view settled_folder_name = "settled";

}  // namespace

Overlay::Overlay(std::filesystem::path folder, BaseFiles& base, const OverlayOptions& options)
    : folder_(std::move(folder)),
      base_(base),
      options_(options),
      opened_(system_clock().now()),
      compact_at_bytes_(options.compact_log_bytes) {}

Overlay::~Overlay() {
  cleaner_.request_stop();
  if (cleaner_.joinable()) cleaner_.join();
}

Result<std::unique_ptr<Overlay>> Overlay::open(const std::filesystem::path& folder, BaseFiles& base,
                                               const OverlayOptions& options) {
  auto overlay = std::unique_ptr<Overlay>(new Overlay(folder, base, options));
  overlay->data_ = std::make_unique<DataFiles>(folder / data_folder_name, options.durability);
  PGS_CHECK(make_directories(folder / data_folder_name));
  PGS_CHECK(overlay->load());
  if (options.durability == Durability::kept) {
    PGS_CHECK(durable_make_directories(folder / data_folder_name));
    PGS_CHECK(overlay->sync_data_of_earlier_process());
  }
  PGS_TRY(overlay->log_, OverlayLog::rewrite(folder / log_name, overlay->live_records(), options.durability));
  PGS_CHECK(overlay->remove_orphans());
  overlay->cleaner_ =
      std::jthread([self = overlay.get()](const std::stop_token& stop) { self->clean_up(stop); });
  return overlay;
}

Result<void> Overlay::load() {
  auto root = std::make_shared<Node>();
  root->id = root_node;
  root->kind = OverlayNodeKind::directory;
  root->mode = 0755;
  root->base_path = "";
  root->links = 1;
  root->own = true;
  root->modified = opened_;
  nodes_[root_node] = root;
  const auto bytes = read_file(folder_ / log_name);
  if (!bytes && bytes.error().code() == ErrorCode::not_found) return {};
  if (!bytes) return std::unexpected(bytes.error());
  PGS_TRY(auto log, read_overlay_log(*bytes).context((folder_ / log_name).native()));
  PGS_CHECK(replay(std::move(log.records)));
  return learn_sizes();
}

namespace {

std::unexpected<Error> no_such_node(NodeId node) {
  return fail(ErrorCode::damaged, "the overlay's log speaks of node {}, which it never made", node);
}

}  // namespace

Result<void> Overlay::replay(std::vector<OverlayRecord> records) {
  const auto known = [this](NodeId id) -> Result<NodePtr> {
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return no_such_node(id);
    return found->second;
  };
  const auto set_name = [&](NodeId folder_id, const std::string& name,
                            std::optional<NodeId> id) -> Result<void> {
    PGS_TRY(const auto folder, known(folder_id));
    if (const auto old = folder->children.find(name); old != folder->children.end() && old->second != 0)
      --nodes_.at(old->second)->links;
    if (!id) {
      folder->children.erase(name);
      return {};
    }
    folder->children[name] = *id;
    if (*id == 0) return {};
    PGS_TRY(const auto node, known(*id));
    ++node->links;
    return {};
  };
  for (auto& record : records) {
    if (auto* made = std::get_if<NodeRecord>(&record)) {
      auto node = std::make_shared<Node>();
      node->id = made->node;
      node->kind = made->kind;
      node->mode = made->mode;
      node->base_path = std::move(made->base_path);
      node->base_limit_bytes = made->base_limit_bytes;
      node->link_target = std::move(made->link_target);
      node->own = true;
      node->modified = opened_;
      if (node->id <= root_node || !nodes_.emplace(node->id, node).second)
        return fail(ErrorCode::damaged, "the overlay's log makes node {} twice", node->id);
      next_node_ = std::max(next_node_, node->id + 1);
    } else if (const auto* name = std::get_if<NameRecord>(&record)) {
      PGS_CHECK(set_name(name->folder, name->name, name->node));
    } else if (const auto* forgotten = std::get_if<ForgottenNameRecord>(&record)) {
      PGS_CHECK(set_name(forgotten->folder, forgotten->name, std::nullopt));
    } else if (const auto* mode = std::get_if<ModeRecord>(&record)) {
      PGS_TRY(const auto node, known(mode->node));
      node->mode = mode->mode;
    } else if (const auto* limit = std::get_if<LimitRecord>(&record)) {
      PGS_TRY(const auto node, known(limit->node));
      node->cut_base(limit->base_limit_bytes);
    } else if (const auto* blocks = std::get_if<BlocksRecord>(&record)) {
      PGS_TRY(const auto node, known(blocks->node));
      node->mark_written(blocks->first, blocks->count);
    } else if (const auto* settled = std::get_if<SettledRecord>(&record)) {
      PGS_TRY(const auto node, known(settled->node));
      node->unmark({{settled->first, settled->count}});
      node->settled_serial = std::max(node->settled_serial, settled->serial);
    }
  }
  return {};
}

// A file's size is that of its data; where there are none, nothing of it was written here.
Result<void> Overlay::learn_sizes() {
  for (const auto& [id, node] : nodes_) {
    node->unlogged.clear();
    if (node->kind != OverlayNodeKind::regular) continue;
    const auto data = stat_file(data_->path(id));
    if (!data && data.error().code() != ErrorCode::not_found) return std::unexpected(data.error());
    node->has_data = data.has_value();
    node->unsynced = node->has_data;
    if (node->links != 0) PGS_CHECK(learn_settled(*node));
    const bool needs_data = node->settled || std::ranges::find(node->blocks, true) != node->blocks.end();
    if (!data && node->links != 0 && needs_data)
      return fail(ErrorCode::damaged, "the overlay's data file {} is missing", data_->path(id).native());
    if (!data) node->blocks.clear();
    node->size_bytes = data ? data->size_bytes : node->base_limit_bytes;
    node->cut_base(node->size_bytes);
    for (std::uint64_t extent = 0; extent < node->extents.size(); ++extent) {
      if (node->written_blocks(extent) == 0)
        node->extents[static_cast<std::size_t>(extent)] = Node::Rest::none;
    }
    node->logged = node->blocks;  // as the log will say that open() writes
    node->logged_limit_bytes = node->base_limit_bytes;
  }
  std::vector<NodeId> unnamed;
  for (const auto& [id, node] : nodes_)
    if (node->links == 0) unnamed.push_back(id);
  for (const NodeId id : unnamed) nodes_.erase(id);
  return {};
}

Result<void> Overlay::learn_settled(Node& node) const {
  auto settled = SettledFile::open(settled_path(node.id));
  if (!settled && settled.error().code() != ErrorCode::not_found) return std::unexpected(settled.error());
  if (settled) {
    node.settled = *std::move(settled);
    for (const auto& extent : node.settled->extents()) node.unpunched.insert(extent.number);
  }
  if (node.settled_serial <= (node.settled ? node.settled->serial() : 0)) return {};
  return std::unexpected(
      make_error(ErrorCode::damaged, "\"{}\" is missing, or an old one", settled_path(node.id).native())
          .with_hint("It holds what was written in the branch: `pgstrata branch reset` "
                     "takes the branch back to its moment."));
}

std::filesystem::path Overlay::settled_path(NodeId node) const {
  return folder_ / settled_folder_name / std::to_string(node);
}

// What it did not sync may still be the kernel's alone. File by file: others write to this disk as well.
Result<void> Overlay::sync_data_of_earlier_process() {
  for (const auto& [id, node] : nodes_) {
    if (!node->unsynced) continue;
    PGS_TRY(const auto data, open_file(data_->path(id), O_RDWR));
    PGS_CHECK(sync_file_data(data));
    node->unsynced = false;
  }
  // Before the log speaks of what they say.
  PGS_TRY(const bool settled, file_exists(folder_ / settled_folder_name));
  if (settled) PGS_CHECK(sync_directory(folder_ / settled_folder_name));
  return sync_directory(data_->folder());
}

void Overlay::add_live_records(const Node& node, std::vector<OverlayRecord>& records) {
  const std::lock_guard lock(node.mutex);
  records.push_back(NodeRecord{.node = node.id,
                               .kind = node.kind,
                               .mode = node.mode,
                               .base_path = node.base_path,
                               .base_limit_bytes = node.logged_limit_bytes,
                               .link_target = node.link_target});
  if (node.settled) records.push_back(SettledRecord{node.id, node.settled->serial(), 0, 0});
  const auto& logged = node.logged;
  for (auto begin = logged.begin(); begin != logged.end();) {
    begin = std::find(begin, logged.end(), true);
    const auto end = std::find(begin, logged.end(), false);
    if (begin == end) continue;
    records.push_back(BlocksRecord{node.id, static_cast<std::uint64_t>(begin - logged.begin()),
                                   static_cast<std::uint64_t>(end - begin)});
    begin = end;
  }
}

// All that the log says, and no more: of content it speaks when that is durable. Nodes without a name among
// it: somebody may speak of one that is open.
std::vector<OverlayRecord> Overlay::live_records() const {
  std::vector<OverlayRecord> records;
  records.push_back(ModeRecord{root_node, nodes_.at(root_node)->mode});
  for (const auto& [id, node] : nodes_) {
    if (id != root_node && node->own) add_live_records(*node, records);
  }
  for (const auto& [id, node] : nodes_) {
    for (const auto& [name, child] : node->children) {
      if (child == 0 || nodes_.at(child)->own) records.push_back(NameRecord{id, name, child});
    }
  }
  return records;
}

Result<void> Overlay::remove_orphans() {
  for (const auto& folder : {folder_ / settled_folder_name, data_->folder()}) {
    const auto files = list_directory(folder);
    if (!files && files.error().code() == ErrorCode::not_found) continue;
    if (!files) return std::unexpected(files.error());
    for (const auto& file : *files) {
      const auto id = parse_decimal<std::uint64_t>(file.name);
      if (!id || !nodes_.contains(*id)) PGS_CHECK(pgstrata::remove_file(folder / file.name));
    }
    // Their numbers come again: a new file must not find the content of one of these after a crash.
    PGS_CHECK(sync_folder(folder, options_.durability));
  }
  return {};
}

}  // namespace pgstrata
