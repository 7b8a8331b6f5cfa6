#include <algorithm>

#include "repo/chunk_run.h"
#include "repo/pack.h"
#include "repo/past_copies.h"

namespace pgstrata {
namespace {

constexpr std::size_t cached_packs_max = 64;

struct CachedPack {
  PackId id;
  std::string name;  // relative to the cluster's space
  Aead aead;
  std::uint64_t last_used = 0;
};

Result<void> check_location(const CachedPack& pack, const ChunkLocation& location) {
  if (location.offset < object_header_size_bytes || location.stored_size < chunk_overhead_bytes ||
      location.stored_size > stored_size_limit(max_chunk_content_bytes)) {
    return fail(ErrorCode::damaged, "no chunk of pack \"{}\" can be at offset {} with {} bytes", pack.name,
                location.offset, location.stored_size);
  }
  return {};
}

}  // namespace

struct ChunkReader::State {
  explicit State(const ClusterSpace& cluster_space) : space(cluster_space) {}

  CachedPack& pack(const PackId& id) {
    ++uses;
    auto found = std::ranges::find(packs, id, &CachedPack::id);
    if (found == packs.end()) {
      CachedPack fresh{.id = id, .name = pack_name(id), .aead = Aead(pack_key(space, id))};
      if (packs.size() < cached_packs_max) {
        packs.push_back(std::move(fresh));
        found = packs.end() - 1;
      } else {
        found = std::ranges::min_element(packs, {}, &CachedPack::last_used);
        *found = std::move(fresh);
      }
    }
    found->last_used = uses;
    return *found;
  }

  Result<ByteView> fetch(const CachedPack& from, std::uint64_t offset, std::size_t size) {
    const MutableByteView into = ensure(stored, size);
    auto done = space.store().read(space.object_name(from.name), offset, into);
    if (done.has_value()) return ByteView(into);
    if (done.error().code() == ErrorCode::not_found) {
      return fail(ErrorCode::damaged, "pack \"{}\" is missing from {}", space.object_name(from.name),
                  space.store().describe());
    }
    return std::unexpected(std::move(done.error())
                               .with_context(fmt::format("read {} bytes at offset {} of pack \"{}\"", size,
                                                         offset, space.object_name(from.name))));
  }

  Result<std::size_t> open(CachedPack& from, std::uint64_t offset, ByteView sealed, MutableByteView into) {
    return open_chunk(from.aead, decompressor, {.pack = from.name, .offset = offset}, sealed, plain, into);
  }

  ClusterSpace space;
  std::vector<CachedPack> packs;
  std::uint64_t uses = 0;
  Decompressor decompressor;
  Bytes plain;
  Buffer stored;
  Buffer content;
};

ChunkReader::ChunkReader(const ClusterSpace& space) : state_(std::make_unique<State>(space)) {}
ChunkReader::~ChunkReader() = default;
ChunkReader::ChunkReader(ChunkReader&&) noexcept = default;
ChunkReader& ChunkReader::operator=(ChunkReader&&) noexcept = default;

Result<std::size_t> ChunkReader::read(const ChunkRef& ref, MutableByteView into) {
  CachedPack& pack = state_->pack(ref.pack);
  PGS_CHECK(check_location(pack, ref.location));
  const auto& [offset, size] = ref.location;
  const auto read = [&]() -> Result<std::size_t> {
    PGS_TRY(const ByteView sealed, state_->fetch(pack, offset, size));
    return state_->open(pack, offset, sealed, into);
  };
  const auto& space = state_->space;
  return read_past_copies(space.store(), space.object_name(pack.name), offset, size, read);
}

Result<void> ChunkReader::read_run(const PackId& pack_id, std::span<const ChunkLocation> locations,
                                   const std::function<Result<void>(std::size_t, ByteView)>& use) {
  CachedPack& pack = state_->pack(pack_id);
  for (const ChunkLocation& location : locations) PGS_CHECK(check_location(pack, location));
  const MutableByteView content = ensure(state_->content, max_chunk_content_bytes);
  for (std::size_t index = 0; index < locations.size();) {
    const ChunkRun run = first_run(locations.subspan(index), std::identity());
    PGS_TRY(ByteView rest, state_->fetch(pack, run.offset, run.size_bytes));
    for (const std::size_t end = index + run.chunks; index < end; ++index) {
      const ChunkLocation& location = locations[index];
      PGS_TRY(const std::size_t size,
              state_->open(pack, location.offset, rest.first(location.stored_size), content));
      PGS_CHECK(use(index, content.first(size)));
      rest = rest.subspan(location.stored_size);
    }
  }
  return {};
}

}  // namespace pgstrata
