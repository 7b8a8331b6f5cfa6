#include "restore/extent_restorer.h"

#include <algorithm>

#include <fcntl.h>

#include "pg/format/page.h"
#include "snapshot/extent_difference.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

std::uint32_t size_of(const RestoreBatch& batch, const RestoreBatch::Extent& extent) {
  return extent_size(batch.files[extent.file].size_bytes, extent.number);
}

// Hands out the chunks that `where` names of each extent, by which they are sorted: one pack after the other,
// what lies back to back in one request.
template <class Use>
Result<void> read_in_runs(ChunkReader& chunks, std::span<const RestoreBatch::Extent* const> extents,
                          std::optional<ChunkRef> ExtentRef::*where, const Use& use) {
  std::vector<ChunkLocation> locations;
  while (!extents.empty()) {
    const PackId pack = (extents.front()->ref.*where)->pack;
    const auto other =
        std::ranges::find_if(extents, [&](const auto* extent) { return (extent->ref.*where)->pack != pack; });
    const auto run = extents.first(static_cast<std::size_t>(other - extents.begin()));
    extents = extents.subspan(run.size());
    locations.clear();
    for (const auto* extent : run) locations.push_back((extent->ref.*where)->location);
    PGS_CHECK(chunks.read_run(pack, locations, [&](std::size_t index, ByteView content) -> Result<void> {
      return use(*run[index], content);
    }));
  }
  return {};
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

Result<void> ExtentRestorer::write_whole(const RestoreBatch& batch, const RestoreBatch::Extent& extent,
                                         ByteView whole) {
  const auto size = size_of(batch, extent);
  if (whole.size() != size) {
    if (!extent.ref.difference) {
      return fail(ErrorCode::damaged, "extent {} of {} has {} bytes in pack {}, not {}", extent.number,
                  batch.files[extent.file].path, whole.size(), to_string(extent.ref.chunk->pack), size);
    }
    fit_whole_extent(whole, present_.whole().first(size));
    whole = present_.whole().first(size);
  }
  return write_all_at(open_[extent.file].file, extent.number * extent_bytes, whole);
}

// To what the file holds, which is the whole extent by now.
Result<void> ExtentRestorer::apply_difference(const RestoreBatch& batch, const RestoreBatch::Extent& extent,
                                              ByteView difference) {
  const auto& file = open_[extent.file].file;
  const std::uint64_t offset = extent.number * extent_bytes;
  const auto content = present_.whole().first(size_of(batch, extent));
  PGS_CHECK(read_exactly(file, offset, content));
  PGS_TRY(const auto pages,
          apply_extent_difference(difference, content)
              .context(fmt::format("extent {} of {}, in pack {}", extent.number,
                                   batch.files[extent.file].path, to_string(extent.ref.difference->pack))));
  for (std::uint32_t page = 0; page < pages_per_extent; ++page) {
    if (!holds_page(pages, page)) continue;
    const std::size_t from = std::size_t{page} * page_size;
    const auto changed = content.subspan(from, std::min<std::size_t>(page_size, content.size() - from));
    PGS_CHECK(write_all_at(file, offset + from, changed));
  }
  return {};
}

Result<void> ExtentRestorer::write_from_packs(const RestoreBatch& batch, Extents extents) {
  std::ranges::sort(extents, {}, [](const auto* extent) { return *extent->ref.chunk; });
  PGS_CHECK(read_in_runs(chunks_, extents, &ExtentRef::chunk, [&](const auto& extent, ByteView content) {
    return write_whole(batch, extent, content);
  }));
  const auto whole =
      std::ranges::partition(extents, [](const auto* extent) { return extent->ref.difference.has_value(); });
  const auto changed = extents.first(extents.size() - whole.size());
  std::ranges::sort(changed, {}, [](const auto* extent) { return *extent->ref.difference; });
  return read_in_runs(chunks_, changed, &ExtentRef::difference, [&](const auto& extent, ByteView content) {
    return apply_difference(batch, extent, content);
  });
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
  PGS_CHECK(write_from_packs(batch, from_packs));
  for (std::size_t index = 0; counts.written_bytes != 0 && index < open_.size(); ++index) {
    start_writing_back(open_[index].file, 0, 0);
  }
  open_.clear();
  return counts;
}

}  // namespace pgstrata
