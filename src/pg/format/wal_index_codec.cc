// The byte table is in docs/formats/wal-index.md.
#include <algorithm>

#include "codec/endian.h"
#include "pg/format/wal_index.h"

namespace pgstrata {
namespace {

constexpr std::string_view magic = "PGWI";
constexpr std::uint8_t version = 1;

constexpr std::uint8_t page_images_bit = 1U << change_kind_count;

constexpr std::uint8_t restore_points_cut = 1U << 0;
constexpr std::uint8_t checkpoints_cut = 1U << 1;
constexpr std::uint8_t database_changes_cut = 1U << 2;
constexpr std::uint8_t relations_cut = 1U << 3;
constexpr std::uint8_t all_cut = restore_points_cut | checkpoints_cut | database_changes_cut | relations_cut;

std::uint8_t encode_cut(const WalIndexCut& cut) {
  return static_cast<std::uint8_t>(
      (cut.restore_points ? restore_points_cut : 0) | (cut.checkpoints ? checkpoints_cut : 0) |
      (cut.database_changes ? database_changes_cut : 0) | (cut.relations ? relations_cut : 0));
}

void write_time(ByteWriter& writer, Timestamp time) {
  writer.u64(static_cast<std::uint64_t>(time.micros));
}

Timestamp read_time(ByteReader& reader) {
  return {static_cast<std::int64_t>(reader.u64())};
}

// Only what changed from the relation before is written, as a difference where that is positive.
void write_relation(ByteWriter& writer, const RelationFile& relation, const RelationFile& before) {
  const std::uint32_t tablespace = relation.tablespace.value - before.tablespace.value;
  writer.varint(tablespace);
  const std::uint32_t database_from = tablespace == 0 ? before.database.value : 0;
  writer.varint(relation.database.value - database_from);
  const bool same_folder = tablespace == 0 && relation.database == before.database;
  writer.varint(relation.number.value - (same_folder ? before.number.value : 0));
}

void write_changes(ByteWriter& writer, const RelationChanges& changes) {
  std::uint8_t present = changes.page_images != 0 ? page_images_bit : 0;
  for (std::size_t kind = 0; kind < change_kind_count; ++kind) {
    if (changes.counts[kind] != 0) present = static_cast<std::uint8_t>(present | (1U << kind));
  }
  writer.u8(present);
  for (const auto count : changes.counts) {
    if (count != 0) writer.varint(count);
  }
  if (changes.page_images != 0) writer.varint(changes.page_images);
}

class Decoder {
 public:
  explicit Decoder(ByteView bytes) : reader_(bytes) {}

  Result<WalIndex> decode();

 private:
  static std::unexpected<Error> broken(std::string_view what) {
    return fail(ErrorCode::damaged, "the WAL index has {}", what);
  }
  // A count of things of at least `smallest_bytes` each: never more than the bytes left can hold.
  Result<std::size_t> count(std::size_t smallest_bytes) {
    const std::uint64_t value = reader_.varint();
    if (reader_.failed() || value > reader_.remaining() / smallest_bytes) return broken("a wrong count");
    return static_cast<std::size_t>(value);
  }
  Lsn lsn() { return {reader_.varint()}; }
  Xid xid() { return {reader_.u32()}; }

  Result<void> decode_head(WalIndex& index);
  Result<void> decode_events(WalIndex& index);
  Result<void> decode_relations(WalIndex& index);
  Result<RelationFile> decode_relation(const RelationFile& before);
  Result<RelationChanges> decode_changes(const RelationFile& relation);

  ByteReader reader_;
};

Result<WalIndex> Decoder::decode() {
  WalIndex index;
  PGS_CHECK(decode_head(index));
  PGS_CHECK(decode_events(index));
  PGS_CHECK(decode_relations(index));
  if (!reader_.finished()) return broken("bytes missing or left over");
  return index;
}

Result<void> Decoder::decode_head(WalIndex& index) {
  if (as_text(reader_.bytes(magic.size())) != magic) return broken("a wrong beginning");
  if (const auto found = reader_.u8(); found > version) {
    return fail(ErrorCode::newer_format, "the WAL index is of version {}, newer than {}", found, version);
  } else if (found != version) {
    return broken("a wrong version");
  }
  index.major_version = reader_.u8();
  index.start = lsn();
  index.end = lsn();
  index.records = reader_.varint();
  index.last_record_start = lsn();
  index.last_record_end = lsn();
  index.commits = reader_.varint();
  index.aborts = reader_.varint();
  index.first_commit_time = read_time(reader_);
  index.last_commit_time = read_time(reader_);
  index.last_end_time = read_time(reader_);
  index.first_xid = xid();
  index.last_xid = xid();
  index.page_image_bytes = reader_.varint();
  const auto cut = reader_.u8();
  if ((cut & ~all_cut) != 0) return broken("a list of no known kind cut off");
  index.cut = {.restore_points = (cut & restore_points_cut) != 0,
               .checkpoints = (cut & checkpoints_cut) != 0,
               .database_changes = (cut & database_changes_cut) != 0,
               .relations = (cut & relations_cut) != 0};
  if (reader_.failed() || index.end < index.start) return broken("a broken head");
  return {};
}

Result<void> Decoder::decode_events(WalIndex& index) {
  PGS_TRY(const auto restore_points, count(10));
  index.restore_points.reserve(restore_points);
  for (std::size_t i = 0; i < restore_points; ++i) {
    const auto name = reader_.text();
    if (name.size() > restore_point_name_limit_bytes) return broken("a restore point with too long a name");
    const Timestamp time = read_time(reader_);
    index.restore_points.push_back({std::string(name), time, lsn()});
  }
  PGS_TRY(const auto checkpoints, count(3));
  index.checkpoints.reserve(checkpoints);
  for (std::size_t i = 0; i < checkpoints; ++i) {
    const auto shutdown = reader_.u8();
    if (shutdown > 1) return broken("a checkpoint of unknown kind");
    const Lsn redo = lsn();
    index.checkpoints.push_back({shutdown == 1, redo, lsn()});
  }
  PGS_TRY(const auto database_changes, count(6));
  index.database_changes.reserve(database_changes);
  for (std::size_t i = 0; i < database_changes; ++i) {
    const auto created = reader_.u8();
    if (created > 1) return broken("a database change of unknown kind");
    const Oid database{reader_.u32()};
    index.database_changes.push_back({created == 1, database, lsn()});
  }
  return {};
}

Result<void> Decoder::decode_relations(WalIndex& index) {
  PGS_TRY(const auto relations, count(4));
  index.relations.reserve(relations);
  RelationFile before;
  for (std::size_t i = 0; i < relations; ++i) {
    PGS_TRY(const RelationFile relation, decode_relation(before));
    if (i != 0 && relation <= before) return broken("relations out of order");
    PGS_TRY(auto changes, decode_changes(relation));
    index.relations.push_back(changes);
    before = relation;
  }
  return {};
}

Result<RelationFile> Decoder::decode_relation(const RelationFile& before) {
  const std::uint64_t tablespace_step = reader_.varint();
  const std::uint64_t database_step = reader_.varint();
  const std::uint64_t number_step = reader_.varint();
  if (std::max({tablespace_step, database_step, number_step}) > UINT32_MAX)
    return broken("a relation out of range");
  const std::uint64_t tablespace = before.tablespace.value + tablespace_step;
  const std::uint64_t database = (tablespace_step == 0 ? before.database.value : 0) + database_step;
  const bool same_folder = tablespace_step == 0 && database_step == 0;
  const std::uint64_t number = (same_folder ? before.number.value : 0) + number_step;
  if (std::max({tablespace, database, number}) > UINT32_MAX) return broken("a relation out of range");
  return RelationFile{Oid{static_cast<std::uint32_t>(tablespace)}, Oid{static_cast<std::uint32_t>(database)},
                      Oid{static_cast<std::uint32_t>(number)}};
}

Result<RelationChanges> Decoder::decode_changes(const RelationFile& relation) {
  RelationChanges changes;
  changes.relation = relation;
  const auto present = reader_.u8();
  const auto read_present = [&](std::uint64_t& into) {
    into = reader_.varint();
    return into != 0;
  };
  for (std::size_t kind = 0; kind < change_kind_count; ++kind) {
    if ((present & (1U << kind)) != 0 && !read_present(changes.counts[kind])) return broken("an empty count");
  }
  if ((present & page_images_bit) != 0 && !read_present(changes.page_images)) return broken("an empty count");
  return changes;
}

}  // namespace

Bytes encode_wal_index(const WalIndex& index) {
  ByteWriter writer;
  writer.bytes(as_byte_view(magic));
  writer.u8(version);
  writer.u8(static_cast<std::uint8_t>(index.major_version));
  writer.varint(index.start.value);
  writer.varint(index.end.value);
  writer.varint(index.records);
  writer.varint(index.last_record_start.value);
  writer.varint(index.last_record_end.value);
  writer.varint(index.commits);
  writer.varint(index.aborts);
  write_time(writer, index.first_commit_time);
  write_time(writer, index.last_commit_time);
  write_time(writer, index.last_end_time);
  writer.u32(index.first_xid.value);
  writer.u32(index.last_xid.value);
  writer.varint(index.page_image_bytes);
  writer.u8(encode_cut(index.cut));

  writer.varint(index.restore_points.size());
  for (const auto& point : index.restore_points) {
    writer.text(point.name);
    write_time(writer, point.time);
    writer.varint(point.lsn.value);
  }
  writer.varint(index.checkpoints.size());
  for (const auto& checkpoint : index.checkpoints) {
    writer.u8(checkpoint.shutdown ? 1 : 0);
    writer.varint(checkpoint.redo.value);
    writer.varint(checkpoint.lsn.value);
  }
  writer.varint(index.database_changes.size());
  for (const auto& change : index.database_changes) {
    writer.u8(change.created ? 1 : 0);
    writer.u32(change.database.value);
    writer.varint(change.lsn.value);
  }
  writer.varint(index.relations.size());
  RelationFile before;
  for (const auto& changes : index.relations) {
    write_relation(writer, changes.relation, before);
    write_changes(writer, changes);
    before = changes.relation;
  }
  return writer.take();
}

Result<WalIndex> decode_wal_index(ByteView bytes) {
  return Decoder(bytes).decode();
}

}  // namespace pgstrata
