#include "pg/format/wal_interpret.h"

#include "pg/format/wal_fields.h"

namespace pgstrata {
namespace {

namespace xlog_op {
constexpr std::uint8_t checkpoint_shutdown = 0x00;
constexpr std::uint8_t checkpoint_online = 0x10;
constexpr std::uint8_t restore_point = 0x70;
constexpr std::uint8_t end_of_recovery = 0x90;
}  // namespace xlog_op

namespace transaction_op {
constexpr std::uint8_t mask = 0x70;
constexpr std::uint8_t commit = 0x00;
constexpr std::uint8_t abort = 0x20;
constexpr std::uint8_t commit_prepared = 0x30;
constexpr std::uint8_t abort_prepared = 0x40;
constexpr std::uint8_t has_info = 0x80;
}  // namespace transaction_op

namespace transaction_info {
constexpr std::uint32_t has_database = 1U << 0U;
constexpr std::uint32_t has_subtransactions = 1U << 1U;
constexpr std::uint32_t has_dropped_relations = 1U << 2U;
constexpr std::uint32_t has_invalidations = 1U << 3U;
constexpr std::uint32_t has_two_phase = 1U << 4U;
constexpr std::uint32_t has_dropped_statistics = 1U << 8U;
}  // namespace transaction_info

namespace heap_op {
constexpr std::uint8_t mask = 0x70;
constexpr std::uint8_t insert = 0x00;
constexpr std::uint8_t remove = 0x10;
constexpr std::uint8_t update = 0x20;
constexpr std::uint8_t truncate = 0x30;
constexpr std::uint8_t hot_update = 0x40;
constexpr std::uint8_t multi_insert = 0x50;  // of heap2
constexpr std::uint8_t remove_is_speculative = 1U << 3U;
}  // namespace heap_op

namespace tablespace_op {
constexpr std::uint8_t create = 0x00;
}  // namespace tablespace_op

namespace storage_op {
constexpr std::uint8_t create = 0x10;
constexpr std::uint8_t truncate = 0x20;
}  // namespace storage_op

// Values no clock has said wrap; they do not overflow.
Timestamp read_record_time(ByteReader& reader) {
  return {static_cast<std::int64_t>(reader.u64() + static_cast<std::uint64_t>(postgres_epoch_micros))};
}

std::unexpected<Error> too_short(const WalRecord& record) {
  return fail(ErrorCode::damaged, "the {} record at {} is too short", to_string(record.rmgr), record.start);
}

// A count, then that many entries; counts are signed in the server's structures.
ByteView read_list(ByteReader& reader, std::size_t entry_size_bytes) {
  const std::size_t count = reader.u32();
  return reader.bytes(count * entry_size_bytes);
}

Result<void> interpret_transaction(const WalRecord& record, WalEventHandler& handler) {
  const auto operation = static_cast<std::uint8_t>(record.info & transaction_op::mask);
  TransactionEnd end;
  end.prepared = operation == transaction_op::commit_prepared || operation == transaction_op::abort_prepared;
  end.committed = operation == transaction_op::commit || operation == transaction_op::commit_prepared;
  if (!end.committed && operation != transaction_op::abort && !end.prepared) return {};

  ByteReader reader(record.main_data);
  end.xid = record.xid;
  end.lsn = record.end;
  end.time = read_record_time(reader);
  const std::uint32_t info = (record.info & transaction_op::has_info) != 0 ? reader.u32() : 0;
  if ((info & transaction_info::has_database) != 0) reader.skip(8);
  if ((info & transaction_info::has_subtransactions) != 0) read_list(reader, 4);
  if ((info & transaction_info::has_dropped_relations) != 0) {
    end.dropped = RelationFileList(read_list(reader, RelationFileList::entry_size_bytes));
  }
  if ((info & transaction_info::has_dropped_statistics) != 0) {
    // 18 widened the object's id from 32 to 64 bits.
    read_list(reader, record.major_version >= 18 ? 16 : 12);
  }
  if ((info & transaction_info::has_invalidations) != 0) read_list(reader, 16);
  if ((info & transaction_info::has_two_phase) != 0) end.xid.value = reader.u32();
  if (reader.failed()) return too_short(record);

  if (end.committed) {
    for (std::size_t i = 0; i < end.dropped.size(); ++i)
      handler.change(end.dropped[i], ChangeKind::dropped, 1);
  }
  handler.transaction_end(end);
  return {};
}

Result<void> interpret_checkpoint(const WalRecord& record, WalEventHandler& handler) {
  constexpr std::size_t time_offset = 64;
  constexpr std::size_t smallest = time_offset + 8;
  if (record.main_data.size() < smallest) return too_short(record);
  const auto* data = record.main_data.data();
  Checkpoint checkpoint;
  checkpoint.shutdown = record.operation() == xlog_op::checkpoint_shutdown;
  checkpoint.redo.value = load_little<std::uint64_t>(data);
  checkpoint.lsn = record.start;
  checkpoint.timeline.value = load_little<std::uint32_t>(data + 8);
  checkpoint.time.micros =
      static_cast<std::int64_t>(load_little<std::uint64_t>(data + time_offset) * 1'000'000U);
  handler.checkpoint(checkpoint);

  const TimelineId previous{load_little<std::uint32_t>(data + 12)};
  if (checkpoint.shutdown && previous != checkpoint.timeline) {
    handler.timeline_switch({previous, checkpoint.timeline, record.start, checkpoint.time});
  }
  return {};
}

Result<void> interpret_restore_point(const WalRecord& record, WalEventHandler& handler) {
  constexpr std::size_t name_size_bytes = 64;
  ByteReader reader(record.main_data);
  RestorePoint point;
  point.time = read_record_time(reader);
  const auto name = as_text(reader.bytes(name_size_bytes));
  if (reader.failed()) return too_short(record);
  point.name = name.substr(0, name.find('\0'));
  point.lsn = record.end;
  handler.restore_point(point);
  return {};
}

Result<void> interpret_end_of_recovery(const WalRecord& record, WalEventHandler& handler) {
  ByteReader reader(record.main_data);
  const Timestamp time = read_record_time(reader);
  const TimelineId to{reader.u32()};
  const TimelineId from{reader.u32()};
  if (reader.failed()) return too_short(record);
  if (from != to) handler.timeline_switch({from, to, record.start, time});
  return {};
}

Result<void> interpret_xlog(const WalRecord& record, WalEventHandler& handler) {
  switch (record.operation()) {
    case xlog_op::checkpoint_shutdown:
    case xlog_op::checkpoint_online:
      return interpret_checkpoint(record, handler);
    case xlog_op::restore_point:
      return interpret_restore_point(record, handler);
    case xlog_op::end_of_recovery:
      return interpret_end_of_recovery(record, handler);
    default:
      return {};
  }
}

Result<void> interpret_storage(const WalRecord& record, WalEventHandler& handler) {
  ByteReader reader(record.main_data);
  if (record.operation() == storage_op::create) {
    const RelationFile relation = read_relation_file(reader);
    const std::uint32_t fork = reader.u32();
    if (reader.failed()) return too_short(record);
    if (fork == static_cast<std::uint32_t>(Fork::main)) handler.change(relation, ChangeKind::created, 1);
  } else if (record.operation() == storage_op::truncate) {
    const std::uint32_t blocks_left = reader.u32();
    const RelationFile relation = read_relation_file(reader);
    if (reader.failed()) return too_short(record);
    // VACUUM gives back the empty end of a table this way: no rows go with it.
    handler.change(relation, blocks_left == 0 ? ChangeKind::truncated : ChangeKind::other, 1);
  }
  return {};
}

Result<void> interpret_database(const WalRecord& record, WalEventHandler& handler) {
  const std::uint8_t drop = record.major_version >= 15 ? 0x20 : 0x10;
  ByteReader reader(record.main_data);
  const Oid database{reader.u32()};
  if (reader.failed()) return too_short(record);
  if (record.operation() == drop) {
    handler.database_dropped(database);
  } else if (record.operation() < drop) {
    handler.database_created(database);
  }
  return {};
}

Result<void> interpret_tablespace(const WalRecord& record, WalEventHandler& handler) {
  ByteReader reader(record.main_data);
  const Oid tablespace{reader.u32()};
  if (reader.failed()) return too_short(record);
  const bool created = record.operation() == tablespace_op::create;
  handler.change({tablespace, Oid{0}, Oid{0}}, created ? ChangeKind::created : ChangeKind::dropped, 1);
  return {};
}

// TRUNCATE at wal_level logical: OIDs of tables, not files.
Result<void> interpret_heap_truncate(const WalRecord& record, WalEventHandler& handler) {
  ByteReader reader(record.main_data);
  const Oid database{reader.u32()};
  const std::uint32_t tables = reader.u32();
  reader.skip(4);  // one byte of flags, and padding
  for (std::uint32_t i = 0; i < tables; ++i) {
    const Oid table{reader.u32()};
    if (reader.failed()) return too_short(record);
    handler.change({Oid{0}, database, table}, ChangeKind::truncated, 1);
  }
  return {};
}

struct RowChange {
  ChangeKind kind = ChangeKind::other;
  std::uint32_t rows = 1;
};

// What a heap or heap2 record does to rows of the relation of its first block.
Result<RowChange> row_change(const WalRecord& record) {
  const auto operation = static_cast<std::uint8_t>(record.info & heap_op::mask);
  if (record.rmgr == Rmgr::heap2) {
    if (operation != heap_op::multi_insert) return RowChange{};
    constexpr std::size_t rows_offset = 2;
    if (record.main_data.size() < rows_offset + 2) return too_short(record);
    return RowChange{ChangeKind::inserted, load_little<std::uint16_t>(record.main_data.data() + rows_offset)};
  }
  switch (operation) {
    case heap_op::insert:
      return RowChange{ChangeKind::inserted, 1};
    case heap_op::update:
    case heap_op::hot_update:
      return RowChange{ChangeKind::updated, 1};
    case heap_op::remove: {
      constexpr std::size_t flags_offset = 7;
      if (record.main_data.size() <= flags_offset) return too_short(record);
      // INSERT … ON CONFLICT takes back its own row.
      const auto flags = std::to_integer<std::uint8_t>(record.main_data[flags_offset]);
      if ((flags & heap_op::remove_is_speculative) != 0) return RowChange{};
      return RowChange{ChangeKind::removed, 1};
    }
    default:
      return RowChange{};
  }
}

Result<void> interpret_heap(const WalRecord& record, WalEventHandler& handler) {
  if (record.rmgr == Rmgr::heap && (record.info & heap_op::mask) == heap_op::truncate) {
    return interpret_heap_truncate(record, handler);
  }
  const auto blocks = record.blocks();
  if (blocks.empty()) return {};
  PGS_TRY(const RowChange change, row_change(record));
  // Further blocks are of the same relation: the old row's page, the visibility map.
  handler.change(blocks.front().relation, change.kind, change.rows);
  return {};
}

// Once for each relation; blocks of one relation stand together.
void interpret_other_blocks(const WalRecord& record, WalEventHandler& handler) {
  const WalBlock* before = nullptr;
  for (const WalBlock& block : record.blocks()) {
    if (before == nullptr || before->relation != block.relation) {
      handler.change(block.relation, ChangeKind::other, 1);
    }
    before = &block;
  }
}

}  // namespace

RelationFile RelationFileList::operator[](std::size_t index) const {
  PGS_ASSERT(index < size());
  ByteReader reader(entries_.subspan(index * entry_size_bytes, entry_size_bytes));
  return read_relation_file(reader);
}

Result<void> interpret_wal_record(const WalRecord& record, WalEventHandler& handler) {
  for (const WalBlock& block : record.blocks()) {
    if (block.has_image) handler.page_image(block.relation, block.image.bytes.size());
  }
  switch (record.rmgr) {
    case Rmgr::heap:
    case Rmgr::heap2:
      return interpret_heap(record, handler);
    case Rmgr::transaction:
      return interpret_transaction(record, handler);
    case Rmgr::storage:
      return interpret_storage(record, handler);
    case Rmgr::database:
      return interpret_database(record, handler);
    case Rmgr::tablespace:
      return interpret_tablespace(record, handler);
    case Rmgr::xlog:
      interpret_other_blocks(record, handler);
      return interpret_xlog(record, handler);
    default:
      interpret_other_blocks(record, handler);
      return {};
  }
}

}  // namespace pgstrata
