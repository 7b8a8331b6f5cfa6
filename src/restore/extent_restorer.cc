#include "restore/extent_restorer.h"

#include <algorithm>

#include <fcntl.h>

#include "pg/format/page.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

std::uint32_t size_of(const RestoreBatch& batch, const RestoreBatch::Extent& extent) {
  return extent_size(batch.files[extent.file].size_bytes, extent.number);
}

}  // namespace

ExtentRestorer::ExtentRestorer(const ClusterSpace& space, const RestoreLayout& layout)
    : layout_(layout), chunks_(space), tagger_(space.tag_key()) {}

// Several workers may have one file open: each sets the same size, so none undoes what another wrote.
Result<void> ExtentRestorer::open_files(const RestoreBatch& batch) {
  open_.clear();
  for (const auto& file : batch.files) {
    const auto target = layout_.resolve(file.path);
    PGS_TRY(auto opened, target.directory->open_file(target.relative, O_RDWR | O_CREAT, file.mode));
    PGS_TRY(const auto info, stat_file(opened));
    if (info.size_bytes != file.size_bytes) PGS_CHECK(resize_file(opened, file.size_bytes));
    open_.push_back(
        {std::move(opened), layout_.over_existing() ? std::min(info.size_bytes, file.size_bytes) : 0});
  }
  return {};
}

// Whether the file holds the extent already.
Result<bool> ExtentRestorer::in_place(const RestoreBatch& batch, const RestoreBatch::Extent& extent) {
  const auto& open = open_[extent.file];
  const std::uint64_t offset = extent.number * extent_bytes;
  const auto size = size_of(batch, extent);
  if (offset >= open.present_bytes) return !extent.ref.chunk;  // a hole since the file was sized
  const auto present = present_.whole().first(size);
  PGS_TRY(const auto got, read_at_most(open.file, offset, present));
  if (got != size) return false;
  return extent.ref.chunk ? tagger_.tag(present) == extent.ref.tag : is_all_zero(present);
}

Result<void> ExtentRestorer::write_zeros(const RestoreBatch& batch, const RestoreBatch::Extent& extent) {
  const auto& file = open_[extent.file].file;
  const std::uint64_t offset = extent.number * extent_bytes;
  const auto size = size_of(batch, extent);
  if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), size) ==
      0) {
    return {};
  }
  return write_all_at(file, offset, Bytes(size));  // a file system without holes
}

Result<void> ExtentRestorer::write_from_packs(const RestoreBatch& batch,
                                              std::span<const RestoreBatch::Extent* const> extents) {
  std::vector<ChunkLocation> locations;
  while (!extents.empty()) {
    const PackId pack = extents.front()->ref.chunk->pack;
    const auto other =
        std::ranges::find_if(extents, [&](const auto* extent) { return extent->ref.chunk->pack != pack; });
    const auto run = extents.first(static_cast<std::size_t>(other - extents.begin()));
    extents = extents.subspan(run.size());
    locations.clear();
    for (const auto* extent : run) locations.push_back(extent->ref.chunk->location);
    PGS_CHECK(chunks_.read_run(pack, locations, [&](std::size_t index, ByteView content) -> Result<void> {
      const auto& extent = *run[index];
      if (content.size() != size_of(batch, extent)) {
        return fail(ErrorCode::damaged, "extent {} of {} has {} bytes in pack {}, not {}", extent.number,
                    batch.files[extent.file].path, content.size(), to_string(pack), size_of(batch, extent));
      }
      return write_all_at(open_[extent.file].file, extent.number * extent_bytes, content);
    }));
  }
  return {};
}

Result<ExtentCounts> ExtentRestorer::restore(const RestoreBatch& batch) {
  PGS_CHECK(open_files(batch));
  ExtentCounts counts;
  std::vector<const RestoreBatch::Extent*> from_packs;
  for (const auto& extent : batch.extents) {
    const auto size = size_of(batch, extent);
    if (!extent.ref.chunk) counts.zero_bytes += size;
    PGS_TRY(const bool there, in_place(batch, extent));
    if (there) {
      if (extent.ref.chunk) counts.reused_bytes += size;
    } else if (extent.ref.chunk) {
      from_packs.push_back(&extent);
      counts.written_bytes += size;
    } else {
      PGS_CHECK(write_zeros(batch, extent));
    }
  }
  std::ranges::sort(from_packs, {}, [](const auto* extent) { return *extent->ref.chunk; });
  PGS_CHECK(write_from_packs(batch, from_packs));
  for (std::size_t index = 0; counts.written_bytes != 0 && index < open_.size(); ++index) {
    start_writing_back(open_[index].file, 0, 0);
  }
  open_.clear();
  return counts;
}

}  // namespace pgstrata
