#include "branch/overlay_log.h"

#include "codec/digest.h"
#include "codec/endian.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t log_magic = 0x4F534750;  // "PGSO"
constexpr std::uint32_t log_version = 3;         // 1 has no word of what is durable, 2 none of settled blocks
constexpr std::size_t log_header_bytes = 8;
constexpr std::size_t frame_header_bytes = 8;

// A frame over which more is not looked for: those that tell what is durable are of one change each.
constexpr std::size_t telling_frame_bytes_max = 1U << 20;

enum class Tag : std::uint8_t {
  node = 1,
  name = 2,
  forgotten_name = 3,
  mode = 4,
  limit = 5,
  blocks = 6,
  durable = 7,  // how much of the log was, when the frame was written; its first record, where it has one
  settled = 8,
};

void write_record(ByteWriter& out, const NodeRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::node));
  out.varint(record.node);
  out.u8(static_cast<std::uint8_t>(record.kind));
  out.varint(record.mode);
  out.u8(record.base_path ? 1 : 0);
  if (record.base_path) {
    out.text(*record.base_path);
    out.varint(record.base_limit_bytes);
  }
  out.text(record.link_target);
}
void write_record(ByteWriter& out, const NameRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::name));
  out.varint(record.folder);
  out.text(record.name);
  out.varint(record.node);
}
void write_record(ByteWriter& out, const ForgottenNameRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::forgotten_name));
  out.varint(record.folder);
  out.text(record.name);
}
void write_record(ByteWriter& out, const ModeRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::mode));
  out.varint(record.node);
  out.varint(record.mode);
}
void write_record(ByteWriter& out, const LimitRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::limit));
  out.varint(record.node);
  out.varint(record.base_limit_bytes);
}
void write_record(ByteWriter& out, const BlocksRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::blocks));
  out.varint(record.node);
  out.varint(record.first);
  out.varint(record.count);
}
void write_record(ByteWriter& out, const SettledRecord& record) {
  out.u8(static_cast<std::uint8_t>(Tag::settled));
  out.varint(record.node);
  out.varint(record.serial);
  out.varint(record.first);
  out.varint(record.count);
}

NodeRecord read_node(ByteReader& in) {
  NodeRecord record;
  record.node = in.varint();
  record.kind = static_cast<OverlayNodeKind>(in.u8());
  record.mode = static_cast<std::uint32_t>(in.varint());
  if (in.u8() != 0) {
    record.base_path = std::string(in.text());
    record.base_limit_bytes = in.varint();
  }
  record.link_target = in.text();
  return record;
}

// As far as it can be told from one record.
bool makes_sense(const OverlayRecord& record) {
  constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 44;  // PostgreSQL's have 1 GiB
  if (const auto* node = std::get_if<NodeRecord>(&record)) {
    return node->kind >= OverlayNodeKind::regular && node->kind <= OverlayNodeKind::symbolic_link &&
           node->base_limit_bytes <= file_bytes_max;
  }
  if (const auto* name = std::get_if<NameRecord>(&record)) return !name->name.empty();
  return true;
}

std::optional<OverlayRecord> read_record(ByteReader& in) {
  switch (static_cast<Tag>(in.u8())) {
    case Tag::node:
      return read_node(in);
    case Tag::name: {
      NameRecord record{.folder = in.varint(), .name = std::string(in.text()), .node = 0};
      record.node = in.varint();
      return record;
    }
    case Tag::forgotten_name:
      return ForgottenNameRecord{in.varint(), std::string(in.text())};
    case Tag::mode:
      return ModeRecord{in.varint(), static_cast<std::uint32_t>(in.varint())};
    case Tag::limit:
      return LimitRecord{in.varint(), in.varint()};
    case Tag::blocks:
      return BlocksRecord{in.varint(), in.varint(), in.varint()};
    case Tag::settled:
      return SettledRecord{in.varint(), in.varint(), in.varint(), in.varint()};
    case Tag::durable:
      break;  // not among others
  }
  return std::nullopt;
}

void write_header(ByteWriter& out) {
  out.u32(log_magic);
  out.u32(log_version);
}

bool tells_of_durable(ByteView payload) {
  return !payload.empty() && payload.front() == static_cast<std::byte>(Tag::durable);
}

Result<void> read_frame(ByteView payload, std::vector<OverlayRecord>& records) {
  ByteReader in(payload);
  if (tells_of_durable(payload)) {
    in.u8();
    in.varint();
  }
  while (in.remaining() > 0) {
    auto record = read_record(in);
    if (!record || in.failed() || !makes_sense(*record))
      return fail(ErrorCode::damaged, "a record of the overlay's log makes no sense");
    records.push_back(*std::move(record));
  }
  return {};
}

// Empty where there is none that is whole.
ByteView next_payload(ByteReader& in) {
  const auto size = in.u32();
  const auto crc = in.u32();
  if (in.failed() || size > in.remaining()) return {};
  const auto payload = in.bytes(size);
  return crc32c_finish(crc32c_extend(crc32c_begin, payload)) == crc ? payload : ByteView();
}

// The most that whole frames anywhere in `bytes` tell to have been durable.
std::uint64_t durable_bytes_told_in(ByteView bytes) {
  std::uint64_t most = 0;
  for (std::size_t at = 0; at + frame_header_bytes < bytes.size(); ++at) {
    if (!tells_of_durable(bytes.subspan(at + frame_header_bytes))) continue;
    ByteReader in(bytes.subspan(at, std::min(telling_frame_bytes_max, bytes.size() - at)));
    const auto payload = next_payload(in);
    if (payload.empty()) continue;
    ByteReader record(payload.subspan(1));
    most = std::max(most, record.varint());
  }
  return most;
}

}  // namespace

Bytes encode_overlay_frame(std::span<const OverlayRecord> records, std::uint64_t durable_bytes) {
  ByteWriter payload;
  if (durable_bytes != 0) {
    payload.u8(static_cast<std::uint8_t>(Tag::durable));
    payload.varint(durable_bytes);
  }
  for (const auto& record : records) std::visit([&](const auto& one) { write_record(payload, one); }, record);
  ByteWriter frame;
  frame.u32(static_cast<std::uint32_t>(payload.size()));
  frame.u32(crc32c_finish(crc32c_extend(crc32c_begin, payload.view())));
  frame.bytes(payload.view());
  return frame.take();
}

Result<ReadOverlayLog> read_overlay_log(ByteView bytes) {
  ByteReader in(bytes);
  const auto magic = in.u32();
  const auto version = in.u32();
  if (in.failed() || magic != log_magic) return fail(ErrorCode::damaged, "this is no overlay's log");
  if (version > log_version)
    return fail(ErrorCode::newer_format, "the overlay's log is of version {}", version);
  ReadOverlayLog log{.records = {}, .whole_bytes = log_header_bytes};
  while (in.remaining() > 0) {
    const auto payload = next_payload(in);
    if (payload.empty()) break;
    PGS_CHECK(read_frame(payload, log.records));
    log.whole_bytes = in.position();
  }
  if (durable_bytes_told_in(bytes.subspan(static_cast<std::size_t>(log.whole_bytes))) <= log.whole_bytes)
    return log;
  return std::unexpected(make_error(ErrorCode::damaged,
                                    "the overlay's log is damaged at byte {}, and goes on after it",
                                    log.whole_bytes)
                             .with_hint("What was written in the branch is lost from there on: `pgstrata "
                                        "branch reset` takes it back to "
                                        "its moment."));
}

namespace {

std::filesystem::path new_path(const std::filesystem::path& path) {
  auto temporary = path;
  temporary += ".new";
  return temporary;
}

// Whole and durable, under another name.
struct NewLog {
  FileDescriptor file;
  std::uint64_t size_bytes;
};
Result<NewLog> write_new(const std::filesystem::path& path, std::span<const OverlayRecord> records,
                         Durability durability) {
  constexpr std::size_t records_per_frame = 4096;
  PGS_TRY(auto file, open_file(new_path(path), O_RDWR | O_CREAT | O_TRUNC));
  ByteWriter content;
  write_header(content);
  while (!records.empty()) {
    const auto part = records.first(std::min(records_per_frame, records.size()));
    content.bytes(encode_overlay_frame(part));
    records = records.subspan(part.size());
  }
  PGS_CHECK(write_all(file, content.view()));
  PGS_CHECK(sync_content(file, durability));
  return NewLog{std::move(file), content.size()};
}

std::unexpected<Error> failed_before() {
  return fail(ErrorCode::failed, "the overlay's log could not be written before");
}

}  // namespace

Result<std::unique_ptr<OverlayLog>> OverlayLog::rewrite(const std::filesystem::path& path,
                                                        std::span<const OverlayRecord> records,
                                                        Durability durability) {
  PGS_TRY(auto made, write_new(path, records, durability));
  PGS_CHECK(rename_file(new_path(path), path));
  PGS_CHECK(sync_folder(path.parent_path(), durability));
  return std::unique_ptr<OverlayLog>(new OverlayLog(path, std::move(made.file), made.size_bytes, durability));
}

// A file system that cannot do it goes without.
void OverlayLog::keep_room() {
  constexpr std::uint64_t room_ahead_bytes = 256U << 10;
  if (size_bytes_ + room_ahead_bytes / 2 <= room_bytes_) return;
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(size_bytes_),
                  static_cast<off_t>(room_ahead_bytes)) == 0)
    room_bytes_ = size_bytes_ + room_ahead_bytes;
}

Result<void> OverlayLog::append(std::span<const OverlayRecord> records) {
  if (records.empty()) return {};
  const std::lock_guard lock(mutex_);
  if (failed_) return failed_before();
  const std::uint64_t durable = synced_bytes_;
  const auto frame = encode_overlay_frame(records, durable > told_bytes_ ? durable : 0);
  keep_room();
  const auto written = write_all_at(file_, size_bytes_, frame);
  if (!written) {
    // A frame that is there in part would hide every later one.
    if (!resize_file(file_, size_bytes_)) failed_ = true;
    room_bytes_ = 0;
    return written;
  }
  size_bytes_ += frame.size();
  told_bytes_ = durable;
  return {};
}

Result<void> OverlayLog::sync() {
  const auto wanted = size_bytes();
  const std::lock_guard syncing(sync_mutex_);
  std::uint64_t reached = 0;
  {
    const std::lock_guard lock(mutex_);
    // The kernel tells of a failure once; what was lost then stays lost.
    if (failed_) return failed_before();
    if (synced_bytes_ >= wanted) return {};
    reached = size_bytes_;
  }
  if (auto synced = sync_content(file_, durability_); !synced) {
    const std::lock_guard lock(mutex_);
    failed_ = true;  // nobody knows what of it is on the disk
    return synced;
  }
  synced_bytes_ = reached;
  return {};
}

Result<void> OverlayLog::compact(std::span<const OverlayRecord> records, std::uint64_t since) {
  PGS_TRY(auto made, write_new(path_, records, durability_));
  const std::lock_guard syncing(sync_mutex_);
  const std::lock_guard lock(mutex_);
  if (failed_) return failed_before();
  auto moved = move_to(std::move(made.file), made.size_bytes, since);
  if (!moved) static_cast<void>(remove_file(new_path(path_)));
  return moved;
}

Result<void> OverlayLog::move_to(FileDescriptor file, std::uint64_t size_bytes, std::uint64_t since) {
  Bytes later(static_cast<std::size_t>(size_bytes_ - since));
  PGS_CHECK(read_exactly(file_, since, later));
  PGS_CHECK(write_all_at(file, size_bytes, later));
  PGS_CHECK(sync_content(file, durability_));
  PGS_CHECK(rename_file(new_path(path_), path_));
  file_ = std::move(file);
  size_bytes_ = size_bytes + later.size();
  room_bytes_ = 0;
  synced_bytes_ = size_bytes_;
  told_bytes_ = 0;
  auto named = sync_folder(path_.parent_path(), durability_);
  if (!named) failed_ = true;  // a crash may bring back the old one, which will not hear of anything more
  return named;
}

std::uint64_t OverlayLog::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return size_bytes_;
}

}  // namespace pgstrata
