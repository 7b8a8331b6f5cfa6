#include "cli/damage_shapes.h"

#include "cli/human.h"
#include "cli/shapes.h"

namespace pgstrata {

Json json_damage(const std::vector<DamagedObject>& damaged) {
  Json list = Json::array();
  for (const DamagedObject& object : damaged) {
    list.push_back({{"name", object.name},
                    {"what", object.what},
                    {"snapshots", object.snapshots},
                    {"files", object.files},
                    {"cure", object.cure.empty() ? Json() : Json(object.cure)}});
  }
  return list;
}

Json json_missing(const std::vector<MissingWal>& missing) {
  Json list = Json::array();
  for (const MissingWal& wal : missing) {
    list.push_back({{"timeline", wal.timeline.value},
                    {"from_lsn", json_lsn(wal.from_lsn)},
                    {"to_lsn", json_lsn(wal.to_lsn)},
                    {"healed_by", wal.healed_by.empty() ? Json() : Json(wal.healed_by)}});
  }
  return list;
}

Json json_lost(const std::vector<LostCoverage>& lost) {
  Json list = Json::array();
  for (const LostCoverage& range : lost) {
    list.push_back({{"timeline", range.timeline.value},
                    {"from_time", json_time(range.from_time)},
                    {"to_time", json_time(range.to_time)},
                    {"from_lsn", json_lsn(range.from_lsn)},
                    {"to_lsn", json_lsn(range.to_lsn)}});
  }
  return list;
}

std::string text_damage(const DamagedObject& object) {
  std::string text = fmt::format("DAMAGED {}: {}\n", object.name, object.what);
  for (const std::string& snapshot : object.snapshots) {
    text += fmt::format("  snapshot {} cannot be restored whole\n", snapshot);
  }
  for (const std::string& file : object.files) text += fmt::format("  in {}\n", file);
  if (!object.cure.empty()) text += fmt::format("  cure: {}\n", object.cure);
  return text;
}

std::string text_missing(const std::string& cluster, const MissingWal& wal) {
  const auto where =
      fmt::format("WAL of {} on timeline {} from {} to {}", cluster, wal.timeline, wal.from_lsn, wal.to_lsn);
  if (!wal.healed_by.empty())
    return fmt::format("gap: {} is not there; snapshot {} makes a new beginning behind it\n", where,
                       wal.healed_by);
  return fmt::format(
      "MISSING {}: no snapshot lies behind it\n  cure: run `pgstrata backup {} --base`: what "
      "comes after it can be restored again\n",
      where, cluster);
}

std::string text_lost(const LostCoverage& lost) {
  return fmt::format("LOST {} to {} ({} to {}, timeline {}) cannot be restored any more\n",
                     human_time(lost.from_time), human_time(lost.to_time), lost.from_lsn, lost.to_lsn,
                     lost.timeline);
}

std::string text_foreign(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("not of pgstrata, left alone: {}\n", name);
  return text;
}

}  // namespace pgstrata
