// The moment that a restore brings back.
//
// PostgreSQL's own rules decide what a target means, because PostgreSQL's own recovery stops there:
//   time           everything up to the first transaction, in the order of the WAL, that ended after it (with
//                  exclusive: at or after it). When the source's clock stepped back, WAL after that
//                  transaction may hold earlier times; recovery does not go on to look for them.
//   lsn            everything up to and with the first record that starts at or after it; exclusive: without
//                  it.
//   xid            everything up to and with the record that ended this transaction, also when it was rolled
//                  back; exclusive: without it. Transactions that ended before it in the WAL are there,
//                  whatever their numbers. A subtransaction cannot be named.
//   restore point  everything up to and with the record that pg_create_restore_point wrote.
//   latest         all WAL that the repository holds without a gap at the moment of planning.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/timestamp.h"
#include "base/types.h"

namespace pgstrata {

struct LatestTarget {};
struct TimeTarget {
  Timestamp time;
};
struct LsnTarget {
  Lsn lsn;
};
struct XidTarget {
  Xid xid;
};
struct RestorePointTarget {
  std::string name;
};
using TargetPoint = std::variant<LatestTarget, TimeTarget, LsnTarget, XidTarget, RestorePointTarget>;

struct RecoveryTarget {
  TargetPoint point = LatestTarget{};
  bool inclusive = true;               // means nothing to latest and to restore points
  std::optional<TimelineId> timeline;  // the current one, when absent
};

// "the time 2026-11-21 10:00:00 UTC", "the moment just before transaction 733", "the latest moment".
[[nodiscard]] std::string describe(const RecoveryTarget& target);

}  // namespace pgstrata
