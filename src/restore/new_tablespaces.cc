#include "restore/new_tablespaces.h"

#include <algorithm>
#include <filesystem>

#include "restore/wal_search.h"

namespace pgstrata {
namespace {

bool may_make_a_tablespace(const WalIndex& index) {
  return index.cut.relations || std::ranges::any_of(index.relations, [](const RelationChanges& changes) {
           return is_tablespace_itself(changes.relation) && changes.count(ChangeKind::created) > 0;
         });
}

Error unusable(ErrorCode code, const NewTablespace& tablespace, std::string_view why) {
  return make_error(code, "the WAL up to this moment makes a tablespace at \"{}\", {}", tablespace.location,
                    why)
      .with_hint(fmt::format("Recovery can make it nowhere else (it came after the snapshot, at {}), and "
                             "would write into what is there. "
                             "Give it an empty folder at that place, choose an earlier moment, or run "
                             "`pgstrata backup`: a moment after "
                             "the next snapshot can be restored with --tablespace.",
                             tablespace.lsn));
}

}  // namespace

Result<std::vector<NewTablespace>> find_new_tablespaces(const ClusterSpace& space, const RecoveryPlan& plan,
                                                        const Cancellation& cancellation) {
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  PGS_TRY(const auto way, timeline_ancestry(space, plan.timeline));
  std::vector<NewTablespace> found;
  const SearchedWal where{plan.snapshot.start_lsn, plan.end_lsn,
                          static_cast<int>(plan.snapshot.server_version / 10000)};
  PGS_TRY([[maybe_unused]] const auto none,
          WalSearch(space, inventory, way, cancellation)
              .find_first(where, may_make_a_tablespace, [&](const RecordFacts& facts) {
                if (facts.tablespace) {
                  found.push_back({facts.tablespace->oid, facts.tablespace->location, facts.start});
                }
                return false;
              }));
  return found;
}

Result<void> check_new_tablespaces(const std::vector<NewTablespace>& tablespaces) {
  for (const auto& tablespace : tablespaces) {
    std::error_code error;
    const std::filesystem::directory_iterator entries(tablespace.location, error);
    if (error)
      return std::unexpected(
          unusable(ErrorCode::not_found, tablespace, "and there is no such folder to be read"));
    if (entries != std::filesystem::directory_iterator()) {
      return std::unexpected(unusable(ErrorCode::already_exists, tablespace, "which is not empty"));
    }
  }
  return {};
}

}  // namespace pgstrata
