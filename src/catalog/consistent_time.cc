#include "catalog/consistent_time.h"

#include <algorithm>

#include "catalog/wal_reader.h"
#include "pg/format/wal_interpret.h"

namespace pgstrata {
namespace {

class TransactionEnds final : public WalRecordHandler, private WalEventHandler {
 public:
  // `before`: the last transaction's end in the segments before; not valid when that is unknown.
  TransactionEnds(Lsn start, Timestamp before, WalRecordHandler* also)
      : start_(start), known_before_(before.valid()), latest_end_(before), also_(also) {}

  Result<void> record(const WalRecord& record) override {
    if (also_ != nullptr) PGS_CHECK(also_->record(record));
    return interpret_wal_record(record, *this);
  }

  [[nodiscard]] Timestamp consistent_time() const {
    return known_before_ ? latest_end_ : std::max(latest_end_, checkpoint_ + std::chrono::seconds(1));
  }

 private:
  void transaction_end(const TransactionEnd& end) override {
    latest_end_ = std::max(latest_end_, end.time);
    known_before_ |= end.lsn < start_;
  }
  void checkpoint(const Checkpoint& checkpoint) override {
    checkpoint_ = std::max(checkpoint_, checkpoint.time);
  }
  void restore_point(const RestorePoint&) override {}
  void timeline_switch(const TimelineChange&) override {}
  void database_created(Oid) override {}
  void database_dropped(Oid) override {}
  void change(const RelationFile&, ChangeKind, std::uint32_t) override {}
  void page_image(const RelationFile&, std::size_t) override {}

  const Lsn start_;
  bool known_before_;
  Timestamp latest_end_;
  Timestamp checkpoint_;
  WalRecordHandler* also_;
};

// In the WAL up to this segment; not valid when the repository does not show it.
Result<Timestamp> last_end_before(const ClusterSpace& space, const WalInventory& inventory,
                                  TimelineId timeline, Lsn segment_start) {
  if (segment_start.value < inventory.segment_bytes()) return Timestamp{};
  const auto* before = inventory.find(timeline, {segment_start.value - inventory.segment_bytes()});
  if (before == nullptr || before->sealed.empty()) return Timestamp{};
  PGS_TRY(auto reader, WalSegmentReader::open(space, before->sealed));
  PGS_TRY(const auto summary, reader.summary());
  return summary.reaches_to.valid() ? summary.reaches_to : summary.latest_transaction_end;
}

}  // namespace

Result<Timestamp> find_consistent_time(const ClusterSpace& space, const SnapshotRecord& record,
                                       WalRecordHandler* also, const Cancellation& cancellation) {
  PGS_TRY(const auto inventory, WalInventory::load(space, record.wal_segment_bytes));
  // The reader passes over what precedes the first record.
  const Lsn segment_start = inventory.segment_start(record.start_lsn);
  PGS_TRY(auto reader, WalRecordReader::create({.start = segment_start,
                                                .segment_size_bytes = record.wal_segment_bytes,
                                                .major_version = 0,
                                                .system_identifier = record.system_identifier}));
  PGS_TRY(const auto before, last_end_before(space, inventory, record.timeline, segment_start));
  TransactionEnds ends(record.start_lsn, before, also);
  PGS_TRY(const auto end, read_wal(space, inventory, record.timeline, segment_start, record.consistent_lsn,
                                   [&](Lsn, ByteView bytes) -> Result<bool> {
                                     PGS_CHECK(cancellation.check());
                                     PGS_CHECK(reader.feed(bytes, ends));
                                     return true;
                                   }));
  if (end < record.consistent_lsn) {
    return fail(ErrorCode::not_found, "the WAL that makes the snapshot consistent ends at {}, {} is needed",
                end, record.consistent_lsn);
  }
  return ends.consistent_time();
}

}  // namespace pgstrata
