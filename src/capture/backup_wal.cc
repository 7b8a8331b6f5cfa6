#include "capture/backup_wal.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "catalog/consistent_time.h"

namespace pgstrata {

namespace {

using PageKey = std::tuple<RelationFile, Fork, BlockNumber>;

// Pages that the WAL restores. What lies before `start` makes them no better.
class SuspectPages final : public WalRecordHandler {
 public:
  SuspectPages(std::span<const SuspectPage> suspects, Lsn start) : start_(start) {
    for (const auto& page : suspects) suspects_.insert({page.relation, page.fork, page.block});
  }

  Result<void> record(const WalRecord& record) override {
    if (suspects_.empty() || record.start < start_) return {};
    for (const auto& block : record.blocks()) {
      if (block.will_initialise || (block.has_image && block.image.applies)) {
        suspects_.erase({block.relation, block.fork, block.block});
      }
    }
    return {};
  }

  [[nodiscard]] bool contains(const SuspectPage& page) const {
    return suspects_.contains({page.relation, page.fork, page.block});
  }

 private:
  const Lsn start_;
  std::set<PageKey> suspects_;
};

}  // namespace

Result<BackupWal> examine_backup_wal(const ClusterSpace& space, const SnapshotRecord& record,
                                     std::span<const SuspectPage> suspects,
                                     const Cancellation& cancellation) {
  SuspectPages pages(suspects, record.start_lsn);
  BackupWal found;
  PGS_TRY(found.consistent_time, find_consistent_time(space, record, &pages, cancellation));
  for (const auto& page : suspects) {
    if (pages.contains(page)) found.bad_pages.push_back({page.path, page.block_in_file});
  }
  std::ranges::sort(found.bad_pages, [](const BadPage& left, const BadPage& right) {
    return std::tie(left.path, left.block) < std::tie(right.path, right.block);
  });
  return found;
}

}  // namespace pgstrata
