#include "restore/recovery_kit.h"

#include "catalog/wal_reader.h"
#include "codec/digest.h"
#include "codec/endian.h"
#include "pg/format/wal_name.h"
#include "repo/object_header.h"

namespace pgstrata {
namespace {

constexpr std::string_view magic = "PGSK";
constexpr std::uint16_t version = 1;
constexpr std::size_t checked_from = 12;  // what the checksum covers: all after magic, version and itself

constexpr std::array<std::byte, SecretKey::size_bytes> no_key{};

enum class SegmentSource : std::uint32_t { spool = 0, pack = 1 };

// The key of the pack that holds a sealed segment: its id is in the object's header.
Result<SecretKey> key_of(const ClusterSpace& space, const std::string& name) {
  ObjectHeaderBytes header;
  PGS_CHECK(space.store().read(space.object_name(name), 0, header));
  PGS_TRY(const auto id, read_object_header(header, pack_magic, static_cast<std::uint8_t>(PackKind::wal),
                                            space.object_name(name)));
  return pack_key(space, PackId{id});
}

std::string spool_name(std::string_view file) {
  return fmt::format("{}/spool/{}", kit_folder, file);
}

Result<const WalSegmentObjects*> objects_of(const WalInventory& inventory, const RecoverySegment& segment) {
  const auto* objects = inventory.find(segment.timeline, segment.start);
  if (objects != nullptr) return objects;
  return fail(ErrorCode::not_found, "the repository no longer holds the WAL at {} of timeline {}",
              segment.start, segment.timeline);
}

bool goes_to_spool(const WalSegmentObjects& objects, const KitOptions& options) {
  return objects.sealed.empty() || options.materialise_all;
}

class KitWriter {
 public:
  KitWriter(const ClusterSpace& space, const RecoveryPlan& plan, const TargetDirectory& data,
            const WalInventory& inventory, const KitOptions& options)
      : space_(space), plan_(plan), data_(data), inventory_(inventory), options_(options) {}

  Result<void> write(const Cancellation& cancellation) {
    PGS_CHECK(data_.make_directory("pg_wal", 0700));
    PGS_CHECK(data_.remove(kit_folder));
    PGS_CHECK(data_.make_directory(kit_folder, 0700));
    PGS_CHECK(data_.make_directory(fmt::format("{}/spool", kit_folder), 0700));
    RecoveryKit kit{options_.repository, space_.name(), plan_.wal_segment_bytes, plan_.end_lsn, {}};
    for (const auto& segment : plan_.segments) {
      PGS_CHECK(cancellation.check());
      PGS_TRY(auto listed, add(segment));
      kit.segments.push_back(std::move(listed));
    }
    for (const auto timeline : plan_.histories) PGS_CHECK(write_history(timeline));
    return data_.write(kit_file, encode_recovery_kit(kit));
  }

 private:
  Result<KitSegment> add(const RecoverySegment& segment) {
    PGS_TRY(const auto* objects, objects_of(inventory_, segment));
    if (goes_to_spool(*objects, options_)) {
      PGS_CHECK(materialise_segment(segment));
      spooled_bytes_ += plan_.wal_segment_bytes;
      if (options_.on_progress) options_.on_progress(spooled_bytes_);
      return KitSegment{segment.timeline, segment.start, {}};
    }
    PGS_TRY(auto key, key_of(space_, objects->sealed));
    return KitSegment{segment.timeline, segment.start, std::move(key)};
  }

  Result<void> materialise_segment(const RecoverySegment& segment) {
    PGS_TRY(auto wal, read_wal_segment(space_, inventory_, segment.timeline, segment.start));
    const auto end = plan_.end_lsn > segment.start ? plan_.end_lsn - segment.start : 0;
    wal.bytes.resize(std::min<std::uint64_t>(wal.bytes.size(), end));
    const auto name = wal_segment_name(
        {segment.timeline, wal_segment_of(segment.start, plan_.wal_segment_bytes)}, plan_.wal_segment_bytes);
    PGS_TRY(const auto file, data_.open_file(spool_name(name), O_WRONLY | O_CREAT | O_EXCL, 0600));
    PGS_CHECK(write_all(file, wal.bytes));
    return resize_file(file, plan_.wal_segment_bytes);
  }

  Result<void> write_history(TimelineId timeline) {
    PGS_TRY(const auto content, history_for_recovery(space_, plan_, timeline));
    if (!content) return {};
    PGS_TRY(const auto file,
            data_.open_file(spool_name(timeline_history_name(timeline)), O_WRONLY | O_CREAT | O_EXCL, 0600));
    return write_all(file, *content);
  }

  const ClusterSpace& space_;
  const RecoveryPlan& plan_;
  const TargetDirectory& data_;
  const WalInventory& inventory_;
  const KitOptions& options_;
  std::uint64_t spooled_bytes_ = 0;
};

}  // namespace

Bytes encode_recovery_kit(const RecoveryKit& kit) {
  ByteWriter body;
  body.u32(kit.wal_segment_bytes);
  body.u64(kit.end_lsn.value);
  body.text(kit.repository);
  body.text(kit.cluster);
  body.u32(static_cast<std::uint32_t>(kit.segments.size()));
  for (const auto& segment : kit.segments) {
    body.u32(segment.timeline.value);
    body.u32(static_cast<std::uint32_t>(segment.pack_key ? SegmentSource::pack : SegmentSource::spool));
    body.u64(segment.start.value);
    body.bytes(segment.pack_key ? segment.pack_key->view() : ByteView(no_key));
  }
  ByteWriter writer;
  writer.bytes(as_byte_view(magic));
  writer.u16(version);
  writer.u16(0);
  writer.u32(crc32c_finish(crc32c_extend(crc32c_begin, body.view())));
  writer.bytes(body.view());
  return writer.take();
}

Result<RecoveryKit> decode_recovery_kit(ByteView bytes) {
  ByteReader reader(bytes);
  if (as_text(reader.bytes(magic.size())) != magic)
    return fail(ErrorCode::damaged, "this is no recovery kit");
  if (reader.u16() > version) {
    return fail(ErrorCode::newer_format, "the recovery kit was written by a newer pgstrata");
  }
  reader.skip(2);
  const auto checksum = reader.u32();
  if (reader.failed() ||
      checksum != crc32c_finish(crc32c_extend(crc32c_begin, bytes.subspan(checked_from)))) {
    return fail(ErrorCode::damaged, "the recovery kit's checksum is wrong");
  }
  RecoveryKit kit;
  kit.wal_segment_bytes = reader.u32();
  kit.end_lsn = {reader.u64()};
  kit.repository = reader.text();
  kit.cluster = reader.text();
  const auto count = reader.u32();
  for (std::uint32_t index = 0; index < count && !reader.failed(); ++index) {
    KitSegment segment{TimelineId{reader.u32()}, {}, {}};
    const auto source = reader.u32();
    segment.start = {reader.u64()};
    const auto key = reader.bytes(SecretKey::size_bytes);
    if (source > static_cast<std::uint32_t>(SegmentSource::pack) || reader.failed()) break;
    if (source == static_cast<std::uint32_t>(SegmentSource::pack)) {
      PGS_TRY(segment.pack_key, SecretKey::from(key));
    }
    kit.segments.push_back(std::move(segment));
  }
  if (!reader.finished() || kit.segments.size() != count || !is_wal_segment_size(kit.wal_segment_bytes)) {
    return fail(ErrorCode::damaged, "the recovery kit does not parse");
  }
  return kit;
}

Result<void> write_recovery_kit(const ClusterSpace& space, const RecoveryPlan& plan,
                                const TargetDirectory& data, const KitOptions& options,
                                const Cancellation& cancellation) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  return KitWriter(space, plan, data, inventory, options).write(cancellation);
}

Result<std::uint64_t> recovery_kit_bytes(const ClusterSpace& space, const RecoveryPlan& plan,
                                         const KitOptions& options) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  std::uint64_t bytes = 0;
  for (const auto& segment : plan.segments) {
    PGS_TRY(const auto* objects, objects_of(inventory, segment));
    if (goes_to_spool(*objects, options)) bytes += plan.wal_segment_bytes;
  }
  return bytes;
}

Result<void> remove_recovery_kit(const TargetDirectory& data) {
  PGS_CHECK(data.remove(kit_folder));
  return data.sync_names("pg_wal");
}

}  // namespace pgstrata
