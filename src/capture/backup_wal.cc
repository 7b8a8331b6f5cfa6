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
  explicit Examination(std::span<const SuspectPage> suspects) {
    for (const auto& page : suspects) suspects_.insert({page.relation, page.fork, page.block});
  }

  Result<void> record(const WalRecord& record) override {
    if (!suspects_.empty()) {
      for (const auto& block : record.blocks()) {
        if (block.will_initialise || (block.has_image && block.image.applies)) {
          suspects_.erase({block.relation, block.fork, block.block});
        }
      }
    }
    return interpret_wal_record(record, *this);
  }

  [[nodiscard]] Timestamp latest() const { return latest_; }
  [[nodiscard]] bool still_suspect(const SuspectPage& page) const {
    return suspects_.contains({page.relation, page.fork, page.block});
  }

 private:
  void transaction_end(const TransactionEnd& end) override { latest_ = std::max(latest_, end.time); }
  void checkpoint(const Checkpoint& checkpoint) override { latest_ = std::max(latest_, checkpoint.time); }
  void restore_point(const RestorePoint&) override {}
  void timeline_switch(const TimelineChange&) override {}
  void database_created(Oid) override {}
  void database_dropped(Oid) override {}
  void change(const RelationFile&, ChangeKind, std::uint32_t) override {}
  void page_image(const RelationFile&, std::size_t) override {}

  std::set<PageKey> suspects_;
  Timestamp latest_;
};

}  // namespace

Result<BackupWal> examine_backup_wal(const ClusterSpace& space, const SnapshotRecord& record,
                                     std::span<const SuspectPage> suspects) {
  PGS_TRY(const auto inventory, WalInventory::load(space, record.wal_segment_bytes));
  // From the page's start: the reader passes over what precedes the first record.
  const Lsn page_start{record.start_lsn.value - record.start_lsn.value % wal_page_size};
  PGS_TRY(auto reader, WalRecordReader::create({.start = page_start,
                                                .segment_size_bytes = record.wal_segment_bytes,
                                                .major_version = 0,
                                                .system_identifier = record.system_identifier}));
  Examination examination(suspects);
  PGS_TRY(const auto end, read_wal(space, inventory, record.timeline, page_start, record.consistent_lsn,
                                   [&](Lsn, ByteView bytes) -> Result<bool> {
                                     PGS_CHECK(reader.feed(bytes, examination));
                                     return true;
                                   }));
  if (end < record.consistent_lsn) {
    return fail(ErrorCode::not_found, "the WAL that makes the backup consistent ends at {}, {} is needed",
                end, record.consistent_lsn);
  }
  BackupWal found{examination.latest(), {}};
  for (const auto& page : suspects) {
    if (examination.still_suspect(page)) found.bad_pages.push_back({page.path, page.block_in_file});
  }
  std::ranges::sort(found.bad_pages, [](const BadPage& left, const BadPage& right) {
    return std::tie(left.path, left.block) < std::tie(right.path, right.block);
  });
  return found;
}

}  // namespace pgstrata
