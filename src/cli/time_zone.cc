#include "cli/time_zone.h"

#include <cstdlib>

#include <date/tz.h>

namespace pgstrata {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

// TZ may start with ":"; what is no name of the database (a POSIX rule such as CET-1CEST) is not understood
// here.
std::optional<std::string> zone_of_environment() {
  const char* text = std::getenv("TZ");
  if (text == nullptr || *text == '\0') return std::nullopt;
  return std::string(*text == ':' ? text + 1 : text);
}

const date::time_zone* machine_zone() {
  try {
    return date::current_zone();
  } catch (const std::exception&) {  // no /etc/localtime, as in many containers
    return date::locate_zone("UTC");
  }
}

std::string with_offset(LocalTime local, seconds offset) {
  const Timestamp as_utc{local.since_epoch.count()};
  std::string text = to_rfc3339(as_utc);
  text.pop_back();
  const auto total = std::chrono::duration_cast<std::chrono::minutes>(offset).count();
  const auto magnitude = total < 0 ? -total : total;
  return fmt::format("{}{}{:02}:{:02}", text, total < 0 ? '-' : '+', magnitude / 60, magnitude % 60);
}

std::string shown(LocalTime local) {
  std::string text = to_display({local.since_epoch.count()});
  return text.substr(0, text.rfind(' '));
}

}  // namespace

Result<TimeZone> TimeZone::find(const std::optional<std::string>& name) {
  const auto wanted = name ? name : zone_of_environment();
  try {
    date::get_tzdb();
  } catch (const std::exception& error) {
    return std::unexpected(
        make_error(ErrorCode::failed, "could not read the time zone database: {}", error.what())
            .with_hint("Install the package tzdata, or give the time with its offset."));
  }
  try {
    return TimeZone(wanted ? date::locate_zone(*wanted) : machine_zone());
  } catch (const std::exception&) {
    return std::unexpected(
        make_error(ErrorCode::usage, "there is no time zone \"{}\"{}", wanted.value_or("UTC"),
                   name ? "" : ", which the variable TZ names")
            .with_hint("Give --tz a name such as Europe/Berlin or UTC, or the time with its offset."));
  }
}

Result<Timestamp> TimeZone::to_utc(LocalTime local) const {
  const date::local_seconds second{std::chrono::floor<seconds>(local.since_epoch)};
  const auto info = zone_->get_info(second);
  if (info.result == date::local_info::unique) {
    return Timestamp{(local.since_epoch - info.first.offset).count()};
  }
  const bool twice = info.result == date::local_info::ambiguous;
  return std::unexpected(make_error(ErrorCode::usage, "{} {} in {}: {} or {}", shown(local),
                                    twice ? "came twice" : "did not exist, the clocks jumped over it,",
                                    name(), with_offset(local, info.first.offset),
                                    with_offset(local, info.second.offset))
                             .with_hint("Give the time with the offset that you mean."));
}

Result<LocalTime> TimeZone::to_local(Timestamp moment) const {
  const date::sys_seconds second{std::chrono::floor<seconds>(microseconds(moment.micros))};
  return LocalTime{microseconds(moment.micros) + zone_->get_info(second).offset};
}

std::string TimeZone::name() const {
  return zone_->name();
}

}  // namespace pgstrata
