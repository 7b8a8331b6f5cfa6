// What a branch is: kept as JSON in its folder, so that any later command, or a reboot, finds it again.
// Format: docs/formats/branch.md.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "branch/branch_home.h"
#include "branch/wal_patch.h"
#include "restore/recovery_plan.h"

namespace pgstrata {

struct BranchRecord {
  std::string cluster;
  std::string name;
  std::string repository;  // its location, absolute
  Timestamp created;
  std::optional<Timestamp> expires;
  bool read_only = false;
  bool disposable = false;  // gone with this machine: its overlay need not survive a loss of power

  // The moment, and what it is made of.
  std::string target;  // in words
  Timestamp moment;  // the time that was asked for, else of the last commit; not valid when neither is known
  Timestamp last_commit;
  std::string snapshot;
  TimelineId timeline;  // that recovery follows
  Lsn end_lsn;          // where recovery ends
  std::uint32_t server_version = 0;
  std::uint32_t wal_segment_bytes = 0;
  std::vector<RecoverySegment> wal;         // that recovery from the snapshot to the moment needs
  std::vector<RecoverySegment> sealed_wal;  // of it: shown from the repository
  Lsn wal_settled_to;  // of it: what ends before this was there once, and may be gone since
  std::string hold;    // in the repository, on all that; empty: none
  std::vector<TimelineId> histories;
  std::vector<WalPatch> wal_patches;  // what the branch sees of it otherwise than it is

  // Its server.
  std::string user;  // the operating system's, whom the files belong to
  std::uint16_t port = 0;
  std::vector<std::pair<std::string, std::string>> settings;  // given when it was made
  std::string superuser = "postgres";                         // the bootstrap superuser's name
  bool recovered = false;   // it was open at the moment; until then its overlay is worth nothing
  bool started = false;     // it is meant to run
  std::string promoted_to;  // the data directory that has taken its place; empty: none
};

[[nodiscard]] Bytes encode_branch_record(const BranchRecord& record);
// Errors: damaged, newer_format.
[[nodiscard]] Result<BranchRecord> decode_branch_record(ByteView bytes);

// Replaces the record as a whole, durably.
Result<void> put_branch_record(const BranchHome& home, const BranchRecord& record);
// Errors: not_found, damaged (names the file), newer_format.
Result<BranchRecord> get_branch_record(const BranchHome& home);

}  // namespace pgstrata
