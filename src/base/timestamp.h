// Moments, and the clock they are read from.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

// Microseconds since 1970-01-01 00:00:00 UTC, PostgreSQL's resolution. Zero means "none".
struct Timestamp {
  std::int64_t micros = 0;

  constexpr auto operator<=>(const Timestamp&) const = default;
  [[nodiscard]] constexpr bool valid() const { return micros != 0; }
  constexpr Timestamp operator+(std::chrono::microseconds span) const { return {micros + span.count()}; }
  constexpr Timestamp operator-(std::chrono::microseconds span) const { return {micros - span.count()}; }
  constexpr std::chrono::microseconds operator-(Timestamp other) const {
    return std::chrono::microseconds(micros - other.micros);
  }
};

// PostgreSQL counts its TimestampTz in microseconds since 2000-01-01 00:00:00 UTC.
inline constexpr std::int64_t postgres_epoch_micros = 946'684'800'000'000;
// Its infinity, and what is too far to be told, is the latest moment there is.
constexpr Timestamp from_postgres_timestamp(std::int64_t postgres_micros) {
  constexpr std::int64_t latest = std::numeric_limits<std::int64_t>::max();
  return {postgres_micros > latest - postgres_epoch_micros ? latest
                                                           : postgres_micros + postgres_epoch_micros};
}
constexpr std::int64_t to_postgres_timestamp(Timestamp moment) {
  return moment.micros - postgres_epoch_micros;
}

// RFC 3339 in UTC with as many of the six fractional digits as are needed: "2026-11-21T10:00:00.25Z".
[[nodiscard]] std::string to_rfc3339(Timestamp moment);
// RFC 3339 with Z or an offset, "T" or a blank between date and time. Error: usage.
[[nodiscard]] Result<Timestamp> parse_rfc3339(std::string_view text);
// For people: "2026-11-21 10:00:00.25 UTC".
[[nodiscard]] std::string to_display(Timestamp moment);

using SteadyTime = std::chrono::steady_clock::time_point;

// Source of time, injected so that tests can hold it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Timestamp now() const = 0;      // wall clock; may step
  [[nodiscard]] virtual SteadyTime steady() const = 0;  // never steps
};

// The machine's clocks.
[[nodiscard]] const Clock& system_clock();

}  // namespace pgstrata

template <>
struct fmt::formatter<pgstrata::Timestamp> : fmt::formatter<std::string> {
  auto format(pgstrata::Timestamp moment, format_context& context) const {
    return fmt::formatter<std::string>::format(pgstrata::to_display(moment), context);
  }
};
