#include "capture/backup_wal.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "catalog/wal_reader.h"
#include "pg/format/wal_interpret.h"
#include "pg/format/wal_reader.h"

namespace pgstrata {

namespace {

using PageKey = std::tuple<RelationFile, Fork, BlockNumber>;

class Examination final : public WalRecordHandler, private WalEventHandler {
 public:
  // Pages that the WAL before `start` restores are no better for it. `before`: the last transaction's end in
  // the segments before; not valid when that is unknown.
  Examination(std::span<const SuspectPage> suspects, Lsn start, Timestamp before)
      : start_(start), known_before_(before.valid()), latest_end_(before) {
    for (const auto& page : suspects) suspects_.insert({page.relation, page.fork, page.block});
  }

  Result<void> record(const WalRecord& record) override {
    if (!suspects_.empty() && record.start >= start_) {
      for (const auto& block : record.blocks()) {
        if (block.will_initialise || (block.has_image && block.image.applies)) {
          suspects_.erase({block.relation, block.fork, block.block});
        }
      }
    }
    return interpret_wal_record(record, *this);
  }

  [[nodiscard]] Timestamp consistent_time() const {
    return known_before_ ? latest_end_ : std::max(latest_end_, checkpoint_ + std::chrono::seconds(1));
  }
  [[nodiscard]] bool still_suspect(const SuspectPage& page) const {
    return suspects_.contains({page.relation, page.fork, page.block});
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
  std::set<PageKey> suspects_;
  bool known_before_;
  Timestamp latest_end_;
  Timestamp checkpoint_;
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

Result<BackupWal> examine_backup_wal(const ClusterSpace& space, const SnapshotRecord& record,
                                     std::span<const SuspectPage> suspects,
                                     const Cancellation& cancellation) {
  PGS_TRY(const auto inventory, WalInventory::load(space, record.wal_segment_bytes));
  // The reader passes over what precedes the first record.
  const Lsn segment_start = inventory.segment_start(record.start_lsn);
  PGS_TRY(auto reader, WalRecordReader::create({.start = segment_start,
                                                .segment_size_bytes = record.wal_segment_bytes,
                                                .major_version = 0,
                                                .system_identifier = record.system_identifier}));
  PGS_TRY(const auto before, last_end_before(space, inventory, record.timeline, segment_start));
  Examination examination(suspects, record.start_lsn, before);
  PGS_TRY(const auto end, read_wal(space, inventory, record.timeline, segment_start, record.consistent_lsn,
                                   [&](Lsn, ByteView bytes) -> Result<bool> {
                                     PGS_CHECK(cancellation.check());
                                     PGS_CHECK(reader.feed(bytes, examination));
                                     return true;
                                   }));
  if (end < record.consistent_lsn) {
    return fail(ErrorCode::not_found, "the WAL that makes the backup consistent ends at {}, {} is needed",
                end, record.consistent_lsn);
  }
  BackupWal found{examination.consistent_time(), {}};
  for (const auto& page : suspects) {
    if (examination.still_suspect(page)) found.bad_pages.push_back({page.path, page.block_in_file});
  }
  std::ranges::sort(found.bad_pages, [](const BadPage& left, const BadPage& right) {
    return std::tie(left.path, left.block) < std::tie(right.path, right.block);
  });
  return found;
}

}  // namespace pgstrata
