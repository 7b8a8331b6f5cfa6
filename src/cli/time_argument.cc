#include "cli/time_argument.h"

#include <cctype>
#include <chrono>

#include "cli/time_zone.h"

namespace pgstrata {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr std::string_view forms_hint =
    "Write it as 2026-11-21T10:00:00Z, \"2026-11-21 10:00:00 UTC\", \"2026-11-21 10:00:00\" (local, or in "
    "--tz), \"yesterday 14:00\" or \"2h ago\".";
constexpr fmt::string_view zone_hint =
    "Zones are abbreviated in several ways: in the place of {} write the offset, such as +01:00, or nothing "
    "and "
    "give the zone with --tz, such as --tz Europe/Berlin.";

// Takes from the front of what is left of an argument.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[nodiscard]] bool at_end() const { return text_.empty(); }

  bool take(std::string_view token) {
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  // A run of 1 to `digits_max` digits.
  std::optional<int> number(std::size_t digits_max) {
    int value = 0;
    std::size_t count = 0;
    while (count < text_.size() && text_[count] >= '0' && text_[count] <= '9') {
      if (count == digits_max) return std::nullopt;
      value = value * 10 + (text_[count] - '0');
      ++count;
    }
    if (count == 0) return std::nullopt;
    text_.remove_prefix(count);
    return value;
  }
  // Just so many.
  std::optional<int> digits(std::size_t count) {
    Scanner run(text_.substr(0, count));
    const auto value = run.number(count);
    if (!value || !run.at_end() || text_.size() < count) return std::nullopt;
    text_.remove_prefix(count);
    return value;
  }
  std::string_view word() {
    std::size_t count = 0;
    while (count < text_.size() && std::isalpha(static_cast<unsigned char>(text_[count])) != 0) ++count;
    const std::string_view found = text_.substr(0, count);
    text_.remove_prefix(count);
    return found;
  }
  bool blanks() {
    const std::size_t count = std::min(text_.find_first_not_of(' '), text_.size());
    text_.remove_prefix(count);
    return count > 0;
  }
  // Digits after a point, as microseconds; further ones than six are cut off.
  std::optional<microseconds> fraction() {
    std::int64_t micros = 0;
    std::size_t count = 0;
    for (; count < text_.size() && text_[count] >= '0' && text_[count] <= '9'; ++count) {
      if (count < 6) micros = micros * 10 + (text_[count] - '0');
    }
    if (count == 0) return std::nullopt;
    text_.remove_prefix(count);
    for (std::size_t i = count; i < 6; ++i) micros *= 10;
    return microseconds(micros);
  }

 private:
  std::string_view text_;
};

// "10:00", "10:00:05", "10:00:05.25".
std::optional<microseconds> scan_time_of_day(Scanner& scanner) {
  const auto hour = scanner.number(2);
  if (!hour || *hour > 23 || !scanner.take(":")) return std::nullopt;
  const auto minute = scanner.number(2);
  if (!minute || *minute > 59) return std::nullopt;
  microseconds time = hours(*hour) + minutes(*minute);
  if (!scanner.take(":")) return time;
  const auto second = scanner.number(2);
  if (!second || *second > 59) return std::nullopt;
  time += seconds(*second);
  if (!scanner.take(".")) return time;
  const auto fraction = scanner.fraction();
  if (!fraction) return std::nullopt;
  return time + *fraction;
}

// Leaves what follows it.
std::optional<LocalTime> scan_date_time(Scanner& scanner) {
  const auto year = scanner.number(4);
  if (!year || !scanner.take("-")) return std::nullopt;
  const auto month = scanner.number(2);
  if (!month || !scanner.take("-")) return std::nullopt;
  const auto day = scanner.number(2);
  if (!day || (!scanner.take("T") && !scanner.blanks())) return std::nullopt;
  const auto time = scan_time_of_day(scanner);
  if (!time) return std::nullopt;
  const year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                            std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return LocalTime{sys_days(date).time_since_epoch() + *time};
}

std::optional<seconds> unit_length(std::string_view unit) {
  if (unit == "s" || unit == "sec" || unit == "second" || unit == "seconds") return seconds(1);
  if (unit == "m" || unit == "min" || unit == "minute" || unit == "minutes") return minutes(1);
  if (unit == "h" || unit == "hour" || unit == "hours") return hours(1);
  if (unit == "d" || unit == "day" || unit == "days") return days(1);
  if (unit == "w" || unit == "week" || unit == "weeks") return days(7);
  return std::nullopt;
}

// No cluster is older; what is longer ago would not fit a Timestamp.
constexpr seconds longest_age = days(365 * 1000);

// "2h ago", "90 minutes ago".
std::optional<seconds> scan_age(std::string_view text) {
  Scanner scanner(text);
  const auto count = scanner.number(9);
  if (!count) return std::nullopt;
  scanner.blanks();
  const auto unit = unit_length(scanner.word());
  if (!unit || !scanner.blanks() || !scanner.take("ago") || !scanner.at_end()) return std::nullopt;
  const seconds age = *count * *unit;  // at most a billion weeks, which seconds hold
  if (age > longest_age) return std::nullopt;
  return age;
}

struct NamedDay {
  int days_ago;
  microseconds time_of_day;
};

std::optional<NamedDay> scan_named_day(std::string_view text) {
  Scanner scanner(text);
  const std::string_view word = scanner.word();
  if (word != "today" && word != "yesterday") return std::nullopt;
  if (!scanner.blanks()) return std::nullopt;
  const auto time = scan_time_of_day(scanner);
  if (!time || !scanner.at_end()) return std::nullopt;
  return NamedDay{.days_ago = word == "today" ? 0 : 1, .time_of_day = *time};
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// "+01:00", "+0100", "+01".
std::optional<seconds> scan_offset(Scanner& scanner) {
  const bool west = scanner.take("-");
  if (!west && !scanner.take("+")) return std::nullopt;
  const auto hour = scanner.digits(2);
  if (!hour || *hour > 23) return std::nullopt;
  if (scanner.at_end()) return west ? -hours(*hour) : hours(*hour);
  scanner.take(":");
  const auto minute = scanner.digits(2);
  if (!minute || *minute > 59) return std::nullopt;
  const seconds offset = hours(*hour) + minutes(*minute);
  return west ? -offset : offset;
}

// A date and a time with what follows them: nothing, "UTC" or "GMT", as pgstrata and a server's log print
// them, or an offset.
struct DateTime {
  LocalTime time;
  std::optional<seconds> offset = {};
  std::string_view zone = {};  // an abbreviation that may mean any
};

std::optional<DateTime> scan_whole_date_time(std::string_view text) {
  Scanner scanner(text);
  const auto time = scan_date_time(scanner);
  if (!time) return std::nullopt;
  DateTime found{.time = *time};
  const bool apart = scanner.blanks();
  if (apart && (scanner.take("UTC") || scanner.take("GMT"))) {
    found.offset = seconds(0);
  } else if (const auto offset = scan_offset(scanner)) {
    found.offset = *offset;
  } else if (apart) {
    found.zone = scanner.word();
  }
  if (!scanner.at_end()) return std::nullopt;
  return found;
}

std::unexpected<Error> not_a_time(std::string_view text, std::string hint) {
  return std::unexpected(
      make_error(ErrorCode::usage, "\"{}\" is not a time", text).with_hint(std::move(hint)));
}

}  // namespace

Result<Timestamp> parse_time_argument(std::string_view text, const TimeContext& context) {
  const std::string_view wanted = trimmed(text);
  if (wanted == "now") return context.clock.now();
  if (const auto age = scan_age(wanted)) return context.clock.now() - *age;
  if (const auto moment = parse_rfc3339(wanted)) return *moment;
  const auto date_time = scan_whole_date_time(wanted);
  const auto named_day = scan_named_day(wanted);
  if (!date_time && !named_day) return not_a_time(text, std::string(forms_hint));
  if (date_time && date_time->offset) {
    return Timestamp{(date_time->time.since_epoch - *date_time->offset).count()};
  }
  if (date_time && !date_time->zone.empty()) return not_a_time(text, fmt::format(zone_hint, date_time->zone));
  PGS_TRY(const TimeZone zone, TimeZone::find(context.zone));
  if (date_time) return zone.to_utc(date_time->time);
  PGS_TRY(const LocalTime now, zone.to_local(context.clock.now()));
  const auto today = std::chrono::floor<days>(now.since_epoch);
  return zone.to_utc({today - days(named_day->days_ago) + named_day->time_of_day});
}

}  // namespace pgstrata
