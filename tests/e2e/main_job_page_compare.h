// Two data directories that should hold the same: compared page by page, but for what PostgreSQL does not
// write to the WAL.
//
// Left out, as PostgreSQL's own wal_consistency_checking leaves it out (bufmask.c and the access methods'
// masks):
//   of every page          checksum; hints in the header (prune xid, "full", "has free lines", "all
//   visible");
//                          the hole between lower and upper
//   of heap pages          commit hints and command ids of tuples, padding behind them
//   of B-tree, hash, GiST  "dead" marks of line pointers, "has garbage" flags, vacuum cycle and split-end
//   marks
// and besides: free space maps; unlogged relations; zero pages at the end of a relation, by which it is
// extended without WAL; files that hold a running server's own state (pg_control, relation caches,
// statistics, slots).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pgstrata::testing {

struct PageComparison {
  std::uint64_t pages = 0;
  std::uint64_t other_files = 0;  // commit logs and the like, compared byte by byte
  std::uint64_t difference_count = 0;
  std::vector<std::string> differences{};  // the first of them: "base/5/16384 block 7: byte 96 is 1, not 2"
};

[[nodiscard]] PageComparison compare_data_directories(const std::filesystem::path& ours,
                                                      const std::filesystem::path& theirs);

}  // namespace pgstrata::testing
