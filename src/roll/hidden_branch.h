// The branch that a roll recovers in: as any other, but in a folder of its own, in recovery all its life, and
// gone with this object. Internal to the room.
#pragma once

#include <memory>

#include "branch/branch_record.h"
#include "pg/format/control_file.h"
#include "restore/new_tablespaces.h"
#include "roll/roll.h"
#include "sys/lock_file.h"

namespace pgstrata {

class HiddenBranch {
 public:
  // Takes away what rolls that were cut short have left. `tablespaces` are those that the plan's WAL makes.
  static Result<std::unique_ptr<HiddenBranch>> make(const RollRequest& request, const RecoveryPlan& plan,
                                                    std::span<const NewTablespace> tablespaces);
  ~HiddenBranch();
  HiddenBranch(const HiddenBranch&) = delete;
  HiddenBranch& operator=(const HiddenBranch&) = delete;

  // Recovers up to the plan's end, makes a restartpoint and stops: returns the control file that is left.
  Result<ControlFile> recover(Lsn checkpoint, const Cancellation& cancellation);

  // The one that recovers. Errors: not_found; failed.
  [[nodiscard]] Result<std::uint32_t> server_version() const;

  // Nothing is mounted any more when it returns.
  Result<void> unmount();
  [[nodiscard]] const BranchHome& home() const { return home_; }
  [[nodiscard]] const BranchRecord& record() const { return record_; }

 private:
  HiddenBranch(BranchHome home, BranchRecord record, LockFile lock)
      : home_(std::move(home)), record_(std::move(record)), lock_(std::move(lock)) {}

  BranchHome home_;
  BranchRecord record_;
  LockFile lock_;
};

}  // namespace pgstrata
