// backup_label: what a base backup says of itself.
//
// Sources: src/backend/access/transam/xlogbackup.c (build_backup_content; in 13 to 15 xlog.c) and
// read_backup_label in xlogrecovery.c. From 17 on an incremental backup adds two lines,
// which are refused here: such a backup is not whole by itself. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

struct BackupLabel {
  Lsn start;               // redo point of the checkpoint the backup starts from; where replay must start
  std::string start_file;  // the WAL segment that holds it
  Lsn checkpoint;
  std::string method;  // "streamed"
  bool from_standby = false;
  std::string start_time;  // as the server prints it in its log_timezone: "2026-11-21 10:00:00 UTC"
  std::string label;
  TimelineId timeline;
};

inline constexpr std::size_t backup_label_limit_bytes = 64U << 10U;

// Errors: damaged, when a line that recovery needs (START WAL LOCATION, CHECKPOINT LOCATION) is missing or
// does not parse, or the text is longer than the limit; unsupported, for an incremental backup.
[[nodiscard]] Result<BackupLabel> parse_backup_label(std::string_view text);

}  // namespace pgstrata
