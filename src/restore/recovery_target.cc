#include "restore/recovery_target.h"

namespace pgstrata {
namespace {

struct Describe {
  std::string operator()(const LatestTarget&) const { return "the latest moment"; }
  std::string operator()(const TimeTarget& target) const { return fmt::format("the time {}", target.time); }
  std::string operator()(const LsnTarget& target) const { return fmt::format("LSN {}", target.lsn); }
  std::string operator()(const XidTarget& target) const { return fmt::format("transaction {}", target.xid); }
  std::string operator()(const RestorePointTarget& target) const {
    return fmt::format("the restore point \"{}\"", target.name);
  }
};

}  // namespace

std::string describe(const RecoveryTarget& target) {
  const bool stops_before = !target.inclusive && !std::holds_alternative<LatestTarget>(target.point) &&
                            !std::holds_alternative<RestorePointTarget>(target.point);
  return (stops_before ? "the moment just before " : "") + std::visit(Describe{}, target.point);
}

}  // namespace pgstrata
