#include <algorithm>
#include <limits>

#include "repo/journal_format.h"

namespace pgstrata {

struct JournalWriter::State {
  State(const ClusterSpace& cluster_space, std::string journal_name, const ObjectHeaderBytes& header,
        const SecretKey& key)
      : space(cluster_space), name(std::move(journal_name)), aead(key), binding(header, name) {}

  // After a failed write or sync nobody knows what the store holds, and no frame number may be sealed twice.
  Result<void> check_usable() const {
    if (broken) return fail(ErrorCode::failed, "journal \"{}\" was given up after a failed write", name);
    if (put) return fail(ErrorCode::usage, "journal \"{}\" was put whole and takes no more", name);
    return {};
  }
  Result<void> noting_failure(Result<void> done) {
    if (!done.has_value()) broken = true;
    return done;
  }
  Result<void> store(ByteView bytes) {
    if (object) return noting_failure(object->append(bytes));
    pgstrata::append(whole, bytes);
    return {};
  }
  Result<void> put_whole() { return space.store().put(space.object_name(name), whole); }

  const ClusterSpace space;
  std::unique_ptr<ObjectJournal> object;  // empty: it is put whole
  Bytes whole;
  const std::string name;
  Aead aead;
  FrameBinding binding;
  std::uint64_t offset = object_header_size_bytes;
  std::uint64_t unsynced_bytes = 0;
  std::uint32_t frames = 0;
  std::uint32_t durable = 0;
  Bytes stored;
  bool broken = false;
  bool put = false;
};

JournalWriter::JournalWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
JournalWriter::JournalWriter(JournalWriter&&) noexcept = default;
JournalWriter& JournalWriter::operator=(JournalWriter&&) noexcept = default;
JournalWriter::~JournalWriter() = default;

Result<JournalWriter> JournalWriter::create(const ClusterSpace& space, std::string name) {
  ObjectId id;
  fill_random(id);
  const ObjectHeaderBytes header = write_object_header(journal_magic, journal_kind, id);
  auto state =
      std::make_unique<State>(space, std::move(name), header, space.object_key(id, journal_key_purpose));
  const bool grows = space.store().capabilities().journals;
  if (grows) {
    PGS_TRY(state->object, space.store().create_journal(space.object_name(state->name)));
  }
  PGS_CHECK(state->store(header));
  if (grows) PGS_CHECK(state->object->sync());
  return JournalWriter(std::move(state));
}

Result<void> JournalWriter::append(ByteView frame) {
  State& state = *state_;
  PGS_CHECK(state.check_usable());
  if (frame.size() > max_frame_size_bytes) {
    return fail(ErrorCode::usage, "a frame of {} bytes is larger than the limit of {}", frame.size(),
                max_frame_size_bytes);
  }
  if (state.frames == std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::usage, "journal \"{}\" has {} frames and takes no more", state.name, state.frames);
  }
  // Readers count on it.
  if (state.unsynced_bytes + frame.size() + frame_overhead_bytes > max_unsynced_bytes) PGS_CHECK(make_room());
  const FrameHeaderBytes header = write_frame_header(
      {.number = state.frames, .length = static_cast<std::uint32_t>(frame.size()), .durable = state.durable});
  state.stored.resize(frame.size() + frame_overhead_bytes);
  std::ranges::copy(header, state.stored.begin());
  state.aead.seal(state.frames, state.binding.at(state.offset, header), frame,
                  MutableByteView(state.stored).subspan(header.size()));
  state.offset += state.stored.size();
  state.unsynced_bytes += state.stored.size();
  ++state.frames;
  return state.store(state.stored);
}

Result<void> JournalWriter::make_room() {
  if (state_->object) return sync();
  return fail(ErrorCode::usage, "journal \"{}\" is put whole and takes no more", state_->name);
}

Result<void> JournalWriter::sync() {
  State& state = *state_;
  PGS_CHECK(state.check_usable());
  if (!state.object) return fail(ErrorCode::unsupported, "journal \"{}\" is put whole", state.name);
  PGS_CHECK(state.noting_failure(state.object->sync()));
  state.durable = state.frames;
  state.unsynced_bytes = 0;
  return {};
}

Result<void> JournalWriter::vouch(ByteView frame) {
  State& state = *state_;
  if (state.object) {
    PGS_CHECK(sync());
    PGS_CHECK(append(frame));
    return sync();
  }
  // All of it is there at once, or nothing.
  state.durable = state.frames;
  PGS_CHECK(append(frame));
  PGS_CHECK(state.noting_failure(state.put_whole()));
  state.put = true;
  return {};
}

}  // namespace pgstrata
