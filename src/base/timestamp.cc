#include "base/timestamp.h"

#include <charconv>
#include <optional>

namespace pgstrata {

namespace {

using namespace std::chrono;

std::string format_with(Timestamp moment, std::string_view between, std::string_view after) {
  const sys_time<microseconds> point{microseconds(moment.micros)};
  const auto day = floor<days>(point);
  const year_month_day date{day};
  const hh_mm_ss time{point - day};
  std::string text = fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), between,
                                 time.hours().count(), time.minutes().count(), time.seconds().count());
  if (const auto fraction = time.subseconds().count(); fraction != 0) {
    std::string digits = fmt::format("{:06}", fraction);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + std::string(after);
}

// Takes exactly `width` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t width) {
  if (text.size() < width) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Digits after the point, as microseconds; further digits are cut off.
std::optional<std::int64_t> take_fraction(std::string_view& text) {
  std::int64_t micros = 0;
  int count = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (count < 6) micros = micros * 10 + (text.front() - '0');
    ++count;
    text.remove_prefix(1);
  }
  if (count == 0) return std::nullopt;
  for (int i = count; i < 6; ++i) micros *= 10;
  return micros;
}

std::optional<seconds> take_offset(std::string_view& text) {
  if (take(text, "Zz")) return seconds(0);
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  const int sign = text.front() == '-' ? -1 : 1;
  text.remove_prefix(1);
  const auto hour = take_digits(text, 2);
  if (!hour) return std::nullopt;
  int minute = 0;
  if (!text.empty()) {
    take(text, ":");
    const auto value = take_digits(text, 2);
    if (!value) return std::nullopt;
    minute = *value;
  }
  if (*hour > 23 || minute > 59) return std::nullopt;
  return sign * (hours(*hour) + minutes(minute));
}

std::optional<Timestamp> parse(std::string_view text) {
  const auto year_value = take_digits(text, 4);
  if (!year_value || !take(text, "-")) return std::nullopt;
  const auto month_value = take_digits(text, 2);
  if (!month_value || !take(text, "-")) return std::nullopt;
  const auto day_value = take_digits(text, 2);
  if (!day_value || !take(text, "Tt ")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  std::int64_t fraction = 0;
  if (take(text, ".")) {
    const auto value = take_fraction(text);
    if (!value) return std::nullopt;
    fraction = *value;
  }
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;

  const year_month_day date{year(*year_value), month(static_cast<unsigned>(*month_value)),
                            day(static_cast<unsigned>(*day_value))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const auto point = sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second) - *offset;
  return Timestamp{duration_cast<microseconds>(point.time_since_epoch()).count() + fraction};
}

class SystemClock final : public Clock {
 public:
  Timestamp now() const override {
    return {duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
  }
  SteadyTime steady() const override { return steady_clock::now(); }
};

}  // namespace

std::string to_rfc3339(Timestamp moment) { return format_with(moment, "T", "Z"); }

std::string to_display(Timestamp moment) { return format_with(moment, " ", " UTC"); }

Result<Timestamp> parse_rfc3339(std::string_view text) {
  if (const auto moment = parse(text)) return *moment;
  return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is not a time", text)
                             .with_hint("Write it as 2026-11-21T10:00:00Z, or with an offset such as +01:00."));
}

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace pgstrata
