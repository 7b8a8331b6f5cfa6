#include "storage/near/near_folder.h"

#include <algorithm>

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "codec/digest.h"
#include "sys/retry.h"

namespace pgstrata {
namespace {

constexpr std::size_t folders = 256;
constexpr std::size_t name_digits = 2 * sizeof(NearBlockKey);
// What a whole block takes: its header costs a page of the file system.
constexpr std::size_t block_file_bytes = near_block_bytes + 4096;
constexpr std::string_view new_prefix = "new.";
// Nobody writes at one block for that long.
constexpr auto new_abandoned_after = std::chrono::minutes(10);
constexpr auto clock_slack = std::chrono::minutes(1);

bool is_block_name(std::string_view name) {
  return name.size() == name_digits &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Where a cache grows, a database may need the room.
Result<void> check_room(const std::filesystem::path& folder, unsigned free_percent_min) {
  struct statvfs disk {};
  if (retry_interrupted([&] { return ::statvfs(folder.c_str(), &disk); }) != 0)
    return std::unexpected(error_from_errno(errno, fmt::format("look at \"{}\"", folder.native())));
  if (disk.f_bavail >= disk.f_blocks / 100 * free_percent_min) return {};
  return fail(ErrorCode::no_space, "less than {} % of the disk is free", free_percent_min);
}

Result<void> write_new(const std::filesystem::path& path, const NearBlockKey& key, ByteView content) {
  PGS_TRY(const auto file, open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));
  PGS_CHECK(write_all(file, write_near_block_header(near_block_header(key, content))));
  return write_all(file, content);
}

// Also over a folder that somebody has put there.
Result<void> rename_over(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (rename_file(from, to)) return {};
  PGS_CHECK(remove_tree(to));
  return rename_file(from, to);
}

// A block that is whole as far as its size tells; nothing for all else that may bear its name.
std::optional<NearBlockHeader> header_of(const FileDescriptor& file, const NearBlockKey& key) {
  const auto info = stat_file(file);
  if (!info || info->kind != FileType::regular) return std::nullopt;
  std::array<std::byte, near_header_bytes> bytes{};
  if (!read_exactly(file, 0, bytes)) return std::nullopt;
  const auto header = parse_near_block_header(bytes);
  if (!header || header->key != key || info->size_bytes != near_header_bytes + header->content_bytes)
    return std::nullopt;
  return *header;
}

}  // namespace

NearFolder::NearFolder(std::filesystem::path path, const NearFolderBounds& bounds, const Clock& clock)
    : path_(std::move(path)),
      blocks_per_folder_(static_cast<std::size_t>(
          std::max<std::uint64_t>(1, bounds.limit_bytes / folders / block_file_bytes))),
      free_percent_min_(bounds.free_percent_min),
      clock_(clock) {}

std::filesystem::path NearFolder::folder_of(const NearBlockKey& key) const {
  return path_ / to_hex(ByteView(key).first(1));
}

std::filesystem::path NearFolder::path_of(const NearBlockKey& key) const {
  return folder_of(key) / to_hex(key);
}

// A time beside the process's number: another container may have the same.
std::filesystem::path NearFolder::new_path(const std::filesystem::path& folder) {
  return folder / fmt::format("{}{}.{}.{}", new_prefix, ::getpid(),
                              clock_.steady().time_since_epoch().count(), ++last_new_);
}

std::optional<std::size_t> NearFolder::read(const NearBlockKey& key, std::size_t offset,
                                            MutableByteView into) const {
  // A FIFO would keep us waiting for its writer.
  const auto file = open_file(path_of(key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) return std::nullopt;
  const auto header = header_of(*file, key);
  if (!header) return std::nullopt;
  // Also where file systems keep no times of reading.
  static_cast<void>(::futimens(file->get(), nullptr));
  if (offset >= header->content_bytes || into.empty()) return 0;
  const std::size_t size = std::min(into.size(), header->content_bytes - offset);
  const std::size_t first = offset / near_piece_bytes;
  const std::size_t end = (offset + size - 1) / near_piece_bytes + 1;
  const std::size_t begin_byte = first * near_piece_bytes;
  const std::size_t end_byte = std::min<std::size_t>(end * near_piece_bytes, header->content_bytes);
  Buffer pieces(end_byte - begin_byte);
  if (!read_exactly(*file, near_header_bytes + begin_byte, pieces.whole())) return std::nullopt;
  pieces.resize(pieces.capacity());
  for (std::size_t number = first; number < end; ++number) {
    const ByteView piece =
        pieces.view().subspan((number - first) * near_piece_bytes, near_piece_size(*header, number));
    if (near_piece_checksum(piece) != header->checksums[number]) return std::nullopt;
  }
  std::ranges::copy(pieces.view().subspan(offset - begin_byte, size), into.begin());
  return size;
}

Result<void> NearFolder::keep(const NearBlockKey& key, ByteView content) {
  const auto folder = folder_of(key);
  PGS_CHECK(make_directories(folder));
  PGS_CHECK(check_room(folder, free_percent_min_));
  const auto path = new_path(folder);
  auto kept = write_new(path, key, content);
  if (kept) kept = rename_over(path, path_of(key));
  if (!kept) {
    static_cast<void>(remove_file_if_there(path));
    return kept;
  }
  trim(folder, to_hex(key));
  return {};
}

bool NearFolder::drop(const NearBlockKey& key) const {
  return ::unlink(path_of(key).c_str()) == 0;
}

void NearFolder::trim(const std::filesystem::path& folder, const std::string& added) const {
  struct Block {
    Timestamp used;
    const DirectoryEntry* entry;
  };
  const auto entries = list_directory(folder);
  if (!entries) return;
  const Timestamp now = clock_.now();
  std::vector<Block> blocks;
  for (const auto& entry : *entries) {
    const bool is_new = entry.name.starts_with(new_prefix);
    if (!is_new && (!is_block_name(entry.name) || entry.name == added)) continue;
    const auto info = stat_file(folder / entry.name);
    if (!info) continue;  // somebody else has removed it
    if (!is_new) {
      // A clock that was ahead for a while must not keep blocks for ever.
      blocks.push_back({info->modified > now + clock_slack ? Timestamp() : info->modified, &entry});
    } else if (now - info->modified > new_abandoned_after || info->modified - now > new_abandoned_after) {
      static_cast<void>(remove_file_if_there(folder / entry.name));
    }
  }
  const std::size_t spared = blocks_per_folder_ - 1;  // beside the one just added
  if (blocks.size() <= spared) return;
  std::ranges::sort(blocks, {}, &Block::used);
  blocks.resize(blocks.size() - spared);
  for (const auto& [used, entry] : blocks) static_cast<void>(remove_tree(folder / entry->name));
}

}  // namespace pgstrata
