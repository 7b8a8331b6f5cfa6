#include "pg/format/backup_label.h"

#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

std::unexpected<Error> broken(std::string_view line) {
  return fail(ErrorCode::damaged, "backup_label has the line \"{}\"", line);
}

// "0/2000028 (file 000000010000000000000002)"
Result<void> parse_start(std::string_view value, BackupLabel& label) {
  const auto open = value.find(" (file ");
  if (open == std::string_view::npos || !value.ends_with(")")) return broken(value);
  const auto lsn = parse_lsn(value.substr(0, open));
  if (!lsn) return broken(value);
  label.start = *lsn;
  label.start_file = std::string(value.substr(open + 7, value.size() - open - 8));
  return {};
}

Result<void> parse_line(std::string_view line, BackupLabel& label) {
  std::string_view value = line;
  if (take_prefix(value, "START WAL LOCATION: ")) return parse_start(value, label);
  if (take_prefix(value, "CHECKPOINT LOCATION: ")) {
    const auto lsn = parse_lsn(value);
    if (!lsn) return broken(line);
    label.checkpoint = *lsn;
  } else if (take_prefix(value, "BACKUP METHOD: ")) {
    label.method = value;
  } else if (take_prefix(value, "BACKUP FROM: ")) {
    label.from_standby = value == "standby";
  } else if (take_prefix(value, "START TIME: ")) {
    label.start_time = value;
  } else if (take_prefix(value, "LABEL: ")) {
    label.label = value;
  } else if (take_prefix(value, "START TIMELINE: ")) {
    const auto timeline = parse_decimal<std::uint32_t>(value);
    if (!timeline) return broken(line);
    label.timeline.value = *timeline;
  } else if (value.starts_with("INCREMENTAL FROM ")) {
    return fail(ErrorCode::unsupported, "the backup is an incremental one");
  }
  return {};
}

}  // namespace

Result<BackupLabel> parse_backup_label(std::string_view text) {
  if (text.size() > backup_label_limit_bytes) {
    return fail(ErrorCode::damaged, "backup_label has {} bytes", text.size());
  }
  BackupLabel label;
  while (!text.empty()) {
    const auto end = text.find('\n');
    PGS_CHECK(parse_line(text.substr(0, end), label));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  if (!label.start.valid() || !label.checkpoint.valid()) {
    return fail(ErrorCode::damaged, "backup_label names no start or no checkpoint location");
  }
  return label;
}

}  // namespace pgstrata
