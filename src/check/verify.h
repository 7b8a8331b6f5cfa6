// Verify: re-reads and authenticates everything a root reaches, or less of it on demand, and says what damage
// and missing WAL cost.
//
// Whatever the level, the snapshots' records, every node of their file trees and page maps, the newest WAL that
// is not sealed, histories, marks and leases are read and authenticated, every pack and every sealed segment is
// there with the header, directory and summary that belong to it, and each chunk that a snapshot refers to is in
// its pack's directory. The levels differ in how much of what packs and sealed segments hold is read: nothing, a
// sample, everything.
//
// Roots are the snapshots' records; the WAL and the timelines' histories are reached by their names. Damage
// is reported, never an error of the call: errors are those of a store that cannot be read at all, and
// cancelled. Reads packs on one thread per core; memory is a few MiB a thread.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "catalog/coverage.h"

namespace pgstrata {

// One object that is missing, does not authenticate or does not parse.
struct DamagedObject {
  std::string name;                    // in the store
  std::string what;                    // how it is damaged
  std::vector<std::string> snapshots;  // ids of those that cannot be restored whole because of it
  std::vector<std::string> files;      // of their data directories, the first few
  std::string cure = {};               // what to do about it; empty where nothing helps
};

enum class VerifyLevel { structure, sample, everything };
[[nodiscard]] std::string_view to_string(VerifyLevel level);

// What can be restored no more because of the damage.
struct LostCoverage {
  TimelineId timeline;
  Lsn from_lsn;
  Lsn to_lsn;
  Timestamp from_time;
  Timestamp to_time;
  auto operator<=>(const LostCoverage&) const = default;
};

// WAL that is not there between some that is. Its source may have removed it before it was received, or
// somebody has from the repository: nothing here tells the two apart. A snapshot behind it makes up for it
// but for what lies between; without one all that follows is lost.
struct MissingWal {
  TimelineId timeline;  // the one it ends on
  Lsn from_lsn;
  Lsn to_lsn;
  std::string healed_by;  // id of the first whole snapshot behind it; empty: there is none
  auto operator<=>(const MissingWal&) const = default;
};

struct VerifyProgress {
  std::uint64_t objects = 0;
  std::uint64_t objects_total = 0;
  std::uint64_t bytes_read = 0;
};

struct VerifyOptions {
  VerifyLevel level = VerifyLevel::everything;
  // Of a sample: how much of it is read. A pack's chunks are chosen by runs of 16 that lie side by side, WAL by
  // whole segments, each on its own with that probability, so of little it may be none or more. The same seed
  // chooses the same of what is still there.
  double sample_percent = 100;
  std::uint64_t seed = 0;
  bool unreferenced = false;                               // read packs that no root reaches, too
  unsigned workers = 0;                                    // 0: one per core
  std::function<void(const VerifyProgress&)> on_progress;  // from one thread at a time
};

struct VerifyReport {
  std::uint64_t objects = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t wal_segments = 0;
  std::uint64_t wal_segments_read = 0;  // from end to end
  std::uint64_t chunks = 0;             // of the packs that were looked at
  std::uint64_t chunks_read = 0;
  std::uint64_t unreferenced_packs = 0;      // of interrupted or running work: garbage at worst
  std::vector<std::string> unknown_objects;  // not ours; left alone
  std::vector<DamagedObject> damaged;
  std::vector<MissingWal> missing_wal;  // also where it is healed
  std::vector<LostCoverage> lost;

  [[nodiscard]] bool sound() const {
    return damaged.empty() && std::ranges::none_of(missing_wal, &std::string::empty, &MissingWal::healed_by);
  }
};

Result<VerifyReport> verify_cluster(const ClusterSpace& space, std::uint32_t wal_segment_bytes,
                                    const VerifyOptions& options, const Cancellation& cancellation);

// The repository's own objects: its key slots. Damaged ones are reported with no snapshot.
Result<std::vector<DamagedObject>> verify_key_slots(const Repository& repository);

}  // namespace pgstrata
