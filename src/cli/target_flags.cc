#include "cli/target_flags.h"

#include "cli/time_argument.h"
#include "cli/time_zone.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

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

Result<TargetPoint> target_point(const TargetFlags& flags, const Clock& clock) {
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

}  // namespace

bool has_target(const TargetFlags& flags) {
  return flags.at || flags.lsn || flags.xid || flags.restore_point || flags.latest;
}

void add_target_flags(CLI::App& command, TargetFlags& flags, const std::string& time_flag,
                      const std::string& latest_help) {
  const std::string group = "Target";
  std::vector<CLI::Option*> targets;
  targets.push_back(
      command.add_option(time_flag, flags.at, "a time, e.g. \"2026-11-21 10:00:00\" or \"2h ago\"")
          ->type_name("TIME"));
  targets.push_back(
      command.add_option("--lsn", flags.lsn, "a WAL position, up to and with its record")->type_name("LSN"));
  targets.push_back(
      command.add_option("--xid", flags.xid, "up to and with this transaction")->type_name("XID"));
  targets.push_back(
      command.add_option("--restore-point", flags.restore_point, "a name given to pg_create_restore_point")
          ->type_name("NAME"));
  targets.push_back(command.add_flag("--latest", flags.latest, "the newest moment there is" + latest_help));
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
  command
      .add_option("--tz", flags.zone,
                  fmt::format("the zone of {} (default: TZ, else this machine's)", time_flag))
      ->type_name("ZONE")
      ->group(group);
}

Result<RecoveryTarget> recovery_target(const TargetFlags& flags, const Clock& clock) {
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

}  // namespace pgstrata
