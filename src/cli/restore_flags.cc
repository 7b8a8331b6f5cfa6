#include "cli/restore_flags.h"

#include "cli/time_argument.h"
#include "cli/time_zone.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

// "NAME=VALUE"; the value may be empty or hold another "=".
Result<std::pair<std::string, std::string>> setting_pair(const std::string& text) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || sign == 0) {
    return fail(ErrorCode::usage, "--set takes two words with \"=\" between them, not \"{}\"", text);
  }
  return std::pair(text.substr(0, sign), text.substr(sign + 1));
}

// As pg_basebackup takes it: "\=" is a sign that belongs to a path.
Result<TablespaceMapping> tablespace_mapping(const std::string& text) {
  TablespaceMapping mapping;
  std::string* to = &mapping.first;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escaped = text.compare(at, 2, "\\=") == 0;
    if (text[at] == '=' && to == &mapping.first) {
      to = &mapping.second;
    } else {
      *to += escaped ? text[++at] : text[at];
    }
  }
  if (mapping.first.empty() || mapping.second.empty()) {
    return fail(ErrorCode::usage, "--tablespace takes two folders with \"=\" between them, not \"{}\"", text);
  }
  return mapping;
}

template <std::unsigned_integral T>
Result<T> number_of(std::string_view flag, const std::string& text) {
  if (const auto value = parse_decimal<T>(text)) return *value;
  return fail(ErrorCode::usage, "{} takes a number, not \"{}\"", flag, text);
}

// As the server prints it, pg_current_xact_id() with the epoch before the 32 bits that are in the WAL.
Result<Xid> parse_xid(const std::string& text) {
  PGS_TRY(const auto with_epoch, number_of<std::uint64_t>("--xid", text));
  return Xid{static_cast<std::uint32_t>(with_epoch)};
}

Result<TargetPoint> target_point(const RestoreFlags& flags, const Clock& clock) {
  if (flags.at) {
    PGS_TRY(const Timestamp time, parse_time_argument(*flags.at, {.clock = clock, .zone = flags.zone}));
    return TargetPoint(TimeTarget{time});
  }
  if (flags.lsn) {
    PGS_TRY(const Lsn lsn, parse_lsn(*flags.lsn));
    return TargetPoint(LsnTarget{lsn});
  }
  if (flags.xid) {
    PGS_TRY(const Xid xid, parse_xid(*flags.xid));
    return TargetPoint(XidTarget{xid});
  }
  if (flags.restore_point) return TargetPoint(RestorePointTarget{*flags.restore_point});
  return TargetPoint(LatestTarget{});
}

void add_target_flags(CLI::App& command, RestoreFlags& flags) {
  const std::string group = "Target";
  std::vector<CLI::Option*> targets;
  targets.push_back(
      command.add_option("--at", flags.at, "a time, e.g. \"2026-11-21 10:00:00\" or \"2h ago\"")
          ->type_name("TIME"));
  targets.push_back(
      command.add_option("--lsn", flags.lsn, "a WAL position, up to and with its record")->type_name("LSN"));
  targets.push_back(
      command.add_option("--xid", flags.xid, "up to and with this transaction")->type_name("XID"));
  targets.push_back(
      command.add_option("--restore-point", flags.restore_point, "a name given to pg_create_restore_point")
          ->type_name("NAME"));
  targets.push_back(command.add_flag("--latest", flags.latest, "the newest moment there is (default)"));
  for (CLI::Option* one : targets) {
    one->group(group);
    for (CLI::Option* other : targets) {
      if (one != other) one->excludes(other);
    }
  }
  command.add_flag("--exclusive", flags.exclusive, "stop just before the target, not just after it")
      ->excludes(targets.back())
      ->group(group);
  command.add_option("--timeline", flags.timeline, "the timeline to follow (default: the newest)")
      ->type_name("NUMBER")
      ->group(group);
  command.add_option("--tz", flags.zone, "the zone of --at (default: TZ, else this machine's)")
      ->type_name("ZONE")
      ->group(group);
}

}  // namespace

void add_restore_flags(CLI::App& command, RestoreFlags& flags) {
  add_cluster_argument(command, flags.cluster);
  const std::string group = "Restore";
  command.add_option("--to", flags.directory, "the data directory to write")
      ->type_name("DIR")
      ->required()
      ->group(group);
  command
      .add_flag(
          "--delta", flags.delta,
          "over an existing directory: rewrite only what differs, and remove what the snapshot does not have")
      ->group(group);
  command
      .add_option("--tablespace", flags.tablespaces,
                  "puts the tablespace that was at FROM to TO, \"=\" in a path as \"\\=\"; repeatable")
      ->type_name("FROM=TO")
      ->expected(1)
      ->take_all()
      ->group(group);
  command.add_flag("--start", flags.start, "start the server and wait until it accepts writes")->group(group);
  command.add_option("--set", flags.settings, "a setting of the restored server, e.g. port=6433; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->group(group);
  add_target_flags(command, flags);
}

Result<RecoveryTarget> recovery_target(const RestoreFlags& flags, const Clock& clock) {
  if (flags.zone) PGS_CHECK(TimeZone::find(flags.zone));
  RecoveryTarget target;
  PGS_TRY(target.point, target_point(flags, clock));
  target.inclusive = !flags.exclusive;
  if (flags.exclusive && std::holds_alternative<LatestTarget>(target.point)) {
    return std::unexpected(make_error(ErrorCode::usage, "--exclusive needs a target to stop before")
                               .with_hint("Give it with --at, --lsn or --xid."));
  }
  if (flags.exclusive && std::holds_alternative<RestorePointTarget>(target.point)) {
    return std::unexpected(make_error(ErrorCode::usage, "--exclusive does not go with --restore-point")
                               .with_hint("A restore point changes nothing: there is nothing to leave out."));
  }
  if (flags.timeline) {
    PGS_TRY(const auto timeline, number_of<std::uint32_t>("--timeline", *flags.timeline));
    target.timeline = TimelineId{timeline};
  }
  return target;
}

Result<RestoreRequest> restore_request(const RestoreFlags& flags, const Clock& clock) {
  RestoreRequest request;
  request.cluster = flags.cluster;
  PGS_TRY(request.target, recovery_target(flags, clock));
  if (flags.directory.empty()) return fail(ErrorCode::usage, "--to names no folder");
  std::error_code error;
  request.directory = std::filesystem::absolute(flags.directory, error).lexically_normal();
  if (error)
    return std::unexpected(error_from_errno(error.value(), fmt::format("find \"{}\"", flags.directory)));
  request.delta = flags.delta;
  request.start = flags.start;
  for (const std::string& mapping : flags.tablespaces) {
    PGS_TRY(auto pair, tablespace_mapping(mapping));
    request.tablespaces.push_back(std::move(pair));
  }
  for (const std::string& setting : flags.settings) {
    PGS_TRY(auto pair, setting_pair(setting));
    request.settings.push_back(std::move(pair));
  }
  if (request.start && action_at_target(request.settings) == AtTarget::shutdown) {
    return std::unexpected(
        make_error(ErrorCode::usage, "--start does not go with a server that shuts down at the target")
            .with_hint("Leave out --start, or recovery_target_action=shutdown; a pause needs hot_standby."));
  }
  return request;
}

}  // namespace pgstrata
