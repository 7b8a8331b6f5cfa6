#include "repo/pack.h"
#include "repo/pack_format.h"

namespace pgstrata {
namespace {

// Small chunks are gathered to this before they go to the store.
constexpr std::size_t write_size_bytes = 1U << 20;

}  // namespace

struct PackWriter::State {
  State(std::unique_ptr<ObjectWriter> object_writer, const PackId& pack_id, std::string pack_name,
        const SecretKey& key, int compression_level)
      : object(std::move(object_writer)),
        id(pack_id),
        name(std::move(pack_name)),
        sealer(key, compression_level),
        pending(write_size_bytes) {}

  // Room at the end of `pending` for one chunk more.
  Result<MutableByteView> reserve(std::size_t size) {
    if (pending.room() < size) PGS_CHECK(flush());
    if (pending.capacity() < size) pending = Buffer(size);
    return pending.whole().subspan(pending.size());
  }

  void written(std::size_t size) {
    pending.resize(pending.size() + size);
    size_bytes += size;
  }

  Result<void> flush() {
    if (pending.empty()) return {};
    auto done = object->write(pending.view());
    if (!done.has_value()) {
      broken = true;
      return done;
    }
    pending.resize(0);
    return {};
  }

  // After a failed write nobody knows what the store holds, and no offset may ever be sealed twice.
  Result<void> check_usable() const {
    if (broken) return fail(ErrorCode::failed, "pack \"{}\" was given up after a failed write", name);
    return {};
  }

  std::unique_ptr<ObjectWriter> object;
  PackId id;
  std::string name;
  ObjectHeaderBytes header{};
  ChunkSealer sealer;
  Buffer pending;
  std::uint64_t size_bytes = 0;
  std::vector<PackDirectoryEntry> directory;
  bool broken = false;
};

PackWriter::PackWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
PackWriter::PackWriter(PackWriter&&) noexcept = default;
PackWriter& PackWriter::operator=(PackWriter&&) noexcept = default;
PackWriter::~PackWriter() = default;

Result<PackWriter> PackWriter::create(const ClusterSpace& space, PackKind kind, const PackId& id,
                                      std::string name, int compression_level) {
  PGS_TRY(auto object, space.store().create(space.object_name(name)));
  auto state =
      std::make_unique<State>(std::move(object), id, std::move(name), pack_key(space, id), compression_level);
  state->header = write_object_header(pack_magic, static_cast<std::uint8_t>(kind), id.bytes);
  state->pending.append(state->header);
  state->size_bytes = state->header.size();
  return PackWriter(std::move(state));
}

Result<ChunkLocation> PackWriter::append(ByteView content, const ContentTag& tag) {
  PGS_TRY(const auto location, append_within(stored_size_limit(content.size()), content, tag));
  PGS_ASSERT(location.has_value());
  return *location;
}

Result<std::optional<ChunkLocation>> PackWriter::append_within(std::size_t stored_size_max, ByteView content,
                                                               const ContentTag& tag) {
  State& state = *state_;
  PGS_CHECK(state.check_usable());
  if (content.size() > max_chunk_content_bytes) {
    return fail(ErrorCode::usage, "a chunk of {} bytes is larger than the limit of {}", content.size(),
                max_chunk_content_bytes);
  }
  if (state.directory.size() == max_pack_chunks) {
    return fail(ErrorCode::usage, "pack \"{}\" has {} chunks and takes no more", state.name, max_pack_chunks);
  }
  const ByteView form = state.sealer.form(content);
  if (form.size() + Aead::tag_size_bytes > stored_size_max) return std::nullopt;
  PGS_TRY(const MutableByteView room, state.reserve(form.size() + Aead::tag_size_bytes));
  const std::uint64_t offset = state.size_bytes;
  const std::size_t stored_size = state.sealer.seal_form(offset, as_byte_view(state.name), form, room);
  state.written(stored_size);
  const ChunkLocation location{.offset = offset, .stored_size = static_cast<std::uint32_t>(stored_size)};
  state.directory.push_back(
      {.location = location, .content_size = static_cast<std::uint32_t>(content.size()), .tag = tag});
  return location;
}

void PackWriter::set_compression_level(int level) {
  state_->sealer.set_level(level);
}
const PackId& PackWriter::id() const {
  return state_->id;
}
std::uint64_t PackWriter::size_bytes() const {
  return state_->size_bytes;
}

Result<void> PackWriter::commit() {
  State& state = *state_;
  PGS_CHECK(state.check_usable());
  state.broken = true;  // whatever happens now, nothing more may be appended
  const Bytes directory = write_pack_directory(state.directory);
  const std::uint64_t offset = state.size_bytes;
  PGS_TRY(const MutableByteView room, state.reserve(stored_size_limit(directory.size())));
  const std::size_t stored_size =
      state.sealer.seal(offset, pack_directory_binding(state.header, state.name), directory, room);
  state.written(stored_size);
  PGS_CHECK(state.flush());
  PGS_CHECK(state.object->write(write_pack_footer(
      {.directory_offset = offset, .directory_stored_size = static_cast<std::uint32_t>(stored_size)})));
  state.size_bytes += pack_footer_size_bytes;
  return state.object->commit();
}

}  // namespace pgstrata
