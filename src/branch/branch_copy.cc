#include "branch/branch_copy.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "branch/branch_files.h"
#include "branch/overlay.h"
#include "branch/server_user.h"
#include "pg/format/control_file.h"
#include "pg/format/text_parsing.h"
#include "restore/batch_producer.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::size_t piece_bytes = 1U << 20;
constexpr std::string_view overlay_log_name = "log";
constexpr std::string_view overlay_settled_name = "settled";

// What of a file is the overlay's.
struct Written {
  std::optional<std::string> base_path;  // in the snapshot
  std::uint64_t base_limit_bytes = 0;
  BlockRuns blocks;  // first and count
};
using WrittenNodes = std::unordered_map<NodeId, Written>;

// What the log no longer speaks of: it is read before, so that nothing settles unseen between the two.
Result<void> add_settled(const std::filesystem::path& folder, WrittenNodes& nodes) {
  PGS_TRY(const bool any, file_exists(folder));
  if (!any) return {};
  PGS_TRY(const auto files, list_directory(folder));
  for (const auto& entry : files) {
    const auto id = parse_decimal<NodeId>(entry.name);
    if (!id) continue;
    const auto settled = SettledFile::open(folder / entry.name);
    if (!settled && settled.error().code() == ErrorCode::not_found) continue;  // removed with its node
    if (!settled) return std::unexpected(settled.error());
    (*settled)->for_each_page([&blocks = nodes[*id].blocks](std::uint64_t page) {
      add_blocks(blocks, page * blocks_per_page, blocks_per_page);
    });
  }
  return {};
}

// In order, none of them twice.
void tidy_up(BlockRuns& blocks) {
  std::ranges::sort(blocks);
  std::size_t kept = 0;
  for (const auto& [first, count] : blocks) {
    if (kept != 0 && first <= blocks[kept - 1].first + blocks[kept - 1].second) {
      auto& last = blocks[kept - 1];
      last.second = std::max(last.first + last.second, first + count) - last.first;
    } else {
      blocks[kept++] = {first, count};
    }
  }
  blocks.resize(kept);
}

Result<WrittenNodes> read_written(const BranchHome& home) {
  PGS_TRY(const auto bytes, read_file(home.overlay() / overlay_log_name));
  PGS_TRY(const auto log, read_overlay_log(bytes));
  WrittenNodes nodes;
  for (const auto& record : log.records) {
    if (const auto* node = std::get_if<NodeRecord>(&record)) {
      auto base = node->base_path ? path_in_snapshot(*node->base_path) : std::nullopt;
      nodes[node->node] = {std::move(base), node->base_path ? node->base_limit_bytes : 0, {}};
    } else if (const auto* limit = std::get_if<LimitRecord>(&record)) {
      auto& base_limit = nodes[limit->node].base_limit_bytes;
      base_limit = std::min(base_limit, limit->base_limit_bytes);
    } else if (const auto* blocks = std::get_if<BlocksRecord>(&record)) {
      nodes[blocks->node].blocks.emplace_back(blocks->first, blocks->count);
    }
  }
  PGS_CHECK(add_settled(home.overlay() / overlay_settled_name, nodes));
  for (auto& [id, node] : nodes) tidy_up(node.blocks);
  return nodes;
}

class Copy {
 public:
  Copy(const BranchHome& home, const RestoreLayout& layout, const Cancellation& cancellation)
      : home_(home), layout_(layout), cancellation_(cancellation) {}

  Result<CopiedChanges> run() {
    PGS_TRY(record_, get_branch_record(home_));
    PGS_TRY(written_, read_written(home_));
    PGS_CHECK(walk(home_.data(), "", false));
    PGS_CHECK(empty_dropped_tablespaces());
    // All that was written to these files so far is in the log now.
    PGS_TRY(written_, read_written(home_));
    for (const auto& file : files_) {
      PGS_CHECK(cancellation_.check());
      PGS_CHECK(copy_file(file).context(file.path));
    }
    return copied_;
  }

 private:
  struct File {
    std::filesystem::path source;
    std::string path;            // the snapshot's way of saying it
    std::optional<NodeId> node;  // of the overlay; none: beside it
    mode_t mode;
  };

  // `moved`: what the snapshot has at this path is something else.
  Result<void> walk(const std::filesystem::path& folder, const std::string& path, bool moved) {
    PGS_CHECK(cancellation_.check());
    std::vector<DirectoryEntry> entries;
    PGS_CHECK(as_server_user(record_, [&]() -> Result<void> {
      PGS_TRY(entries, list_directory(folder));
      return {};
    }));
    std::set<std::string> names;
    for (const auto& entry : entries) {
      const auto below = path.empty() ? entry.name : path + "/" + entry.name;
      PGS_TRY(const bool taken, take(folder / entry.name, below, entry.kind, moved));
      if (taken) names.insert(entry.name);
    }
    return remove_others(path, names);
  }

  // Whether the restored directory is to have it.
  Result<bool> take(const std::filesystem::path& source, const std::string& path, FileType kind, bool moved) {
    if (path == "postmaster.pid" || path == "postmaster.opts") return false;
    if (path == control_file_path) return true;
    if (path == "pg_wal") return take_wal(path);
    const auto info = stat_file(source);
    if (!info && info.error().code() == ErrorCode::not_found) return false;
    if (!info) return std::unexpected(info.error());
    if (kind == FileType::directory) {
      PGS_CHECK(target(path, [&](const TargetDirectory& directory, const std::string& at) {
        return directory.make_directory(at, info->permissions);
      }));
      const auto node = written_.find(info->inode);
      PGS_CHECK(walk(source, path, node == written_.end() ? moved : node->second.base_path != path));
      return true;
    }
    if (path.starts_with("pg_wal/")) {
      if (kind != FileType::regular) return false;  // the repository's
      files_.push_back({source, path, {}, info->permissions});
      return true;
    }
    if (kind == FileType::symbolic_link) return take_link(source, path);
    if (kind != FileType::regular) return false;
    return take_file({source, path, info->inode, info->permissions}, info->size_bytes, moved);
  }

  Result<bool> take_wal(const std::string& path) {
    PGS_CHECK(target(path, [&](const TargetDirectory& directory, const std::string& at) {
      return directory.make_directory(at, 0700);
    }));
    PGS_CHECK(walk(home_.wal(), path, false));
    return true;
  }

  Result<bool> take_file(File file, std::uint64_t size_bytes, bool moved) {
    if (!written_.contains(*file.node) && !moved) {
      const auto there = layout_.resolve(file.path);
      const auto info = there.directory->stat(there.relative);
      if (info && info->size_bytes == size_bytes) return true;
    } else if (const auto opened = open_source(file.source)) {
      PGS_CHECK(sync_file_data(*opened));
    }
    files_.push_back(std::move(file));
    return true;
  }

  Result<bool> take_link(const std::filesystem::path& source, const std::string& path) {
    constexpr std::string_view links = "pg_tblspc/";
    if (path.starts_with(links)) {
      const auto oid = parse_decimal<std::uint32_t>(path.substr(links.size()));
      if (oid && layout_.tablespaces().contains(Oid{*oid})) {
        visited_.insert(Oid{*oid});
        PGS_CHECK(walk(home_.tablespaces() / std::to_string(*oid), path, false));
        return true;
      }
    }
    std::error_code error;
    const auto leads_to = std::filesystem::read_symlink(source, error);
    if (error) return std::unexpected(error_from_errno(error.value(), "read a link"));
    PGS_TRY(const auto there, layout_.data().read_link(path));
    if (there == leads_to) return true;
    PGS_CHECK(layout_.data().remove(path));
    PGS_CHECK(layout_.data().make_link(path, leads_to));
    return true;
  }

  // A server's user could put a link in its place: it is followed no further than he may look himself.
  Result<FileDescriptor> open_source(const std::filesystem::path& path) const {
    FileDescriptor file;
    PGS_CHECK(as_server_user(record_, [&]() -> Result<void> {
      PGS_TRY(file, open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
      return {};
    }));
    return file;
  }

  template <class Use>
  Result<void> target(const std::string& path, const Use& use) {
    const auto place = layout_.resolve(path);
    return use(*place.directory, place.relative);
  }

  Result<void> remove_others(const std::string& path, const std::set<std::string>& names) {
    const auto place = layout_.resolve(path);
    PGS_TRY(const auto there, place.directory->list(place.relative));
    for (const auto& entry : there) {
      if (names.contains(entry.name)) continue;
      if (place.relative.empty() && entry.name == unfinished_marker) continue;
      PGS_CHECK(
          place.directory->remove(place.relative.empty() ? entry.name : place.relative + "/" + entry.name));
    }
    return {};
  }

  Result<void> empty_dropped_tablespaces() {
    for (const auto& [oid, directory] : layout_.tablespaces()) {
      if (!visited_.contains(oid)) PGS_CHECK(remove_others(fmt::format("pg_tblspc/{}", oid), {}));
    }
    return {};
  }

  Result<void> copy_file(const File& file) {
    const auto source = open_source(file.source);
    if (!source && source.error().code() == ErrorCode::not_found) return {};  // removed since
    if (!source) return std::unexpected(source.error());
    PGS_TRY(const auto info, stat_file(*source));
    const auto place = layout_.resolve(file.path);
    PGS_TRY(const auto into, place.directory->open_file(place.relative, O_RDWR | O_CREAT, file.mode));
    PGS_TRY(const auto had, stat_file(into));
    if (had.size_bytes != info.size_bytes) PGS_CHECK(resize_file(into, info.size_bytes));
    const auto written = file.node ? written_.find(*file.node) : written_.end();
    const Written all;
    // What has another name than in the snapshot is not there yet.
    const bool in_place = written != written_.end() && written->second.base_path == file.path;
    const auto& parts = in_place ? written->second : all;
    for (const auto& [first, count] : parts.blocks) {
      const auto begin = first * overlay_block_bytes;
      const auto end = std::min(begin + count * overlay_block_bytes, info.size_bytes);
      PGS_CHECK(copy_range(*source, into, begin, end));
    }
    const auto beyond = parts.base_limit_bytes / overlay_block_bytes * overlay_block_bytes;
    return copy_range(*source, into, beyond, info.size_bytes);
  }

  Result<void> copy_range(const FileDescriptor& source, const FileDescriptor& into, std::uint64_t begin,
                          std::uint64_t end) {
    while (begin < end) {
      PGS_CHECK(cancellation_.check());
      const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, end - begin));
      PGS_TRY(const auto size, read_at_most(source, begin, MutableByteView(new_).first(wanted)));
      if (size == 0) return {};  // cut short since
      PGS_TRY(const auto had, read_at_most(into, begin, MutableByteView(old_).first(size)));
      copied_.compared_bytes += size;
      if (had != size || std::memcmp(new_.data(), old_.data(), size) != 0) {
        PGS_CHECK(write_all_at(into, begin, ByteView(new_).first(size)));
        copied_.written_bytes += size;
      }
      begin += size;
    }
    return {};
  }

  const BranchHome& home_;
  const RestoreLayout& layout_;
  const Cancellation& cancellation_;
  BranchRecord record_;
  WrittenNodes written_;
  std::vector<File> files_;
  std::set<Oid> visited_;
  CopiedChanges copied_;
  Bytes new_ = Bytes(piece_bytes);
  Bytes old_ = Bytes(piece_bytes);
};

}  // namespace

Result<CopiedChanges> copy_changes(const BranchHome& home, const RestoreLayout& layout,
                                   const Cancellation& cancellation) {
  return Copy(home, layout, cancellation).run();
}

}  // namespace pgstrata
