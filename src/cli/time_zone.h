// Local times and the IANA time zone database of this machine.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/timestamp.h"

namespace date {
class time_zone;
}

namespace pgstrata {

// What a clock on the wall shows, counted as if it were UTC.
struct LocalTime {
  std::chrono::microseconds since_epoch;
};

// A value that refers to the process-wide database. Thread-safe.
class TimeZone {
 public:
  // `name` absent: the zone of TZ where that is set, else the machine's, else UTC.
  // Errors: usage (no such zone); failed (no time zone database: package tzdata).
  static Result<TimeZone> find(const std::optional<std::string>& name);

  // Error: usage, for a local time that the clocks jumped over or that came twice; the message says both
  // readings.
  [[nodiscard]] Result<Timestamp> to_utc(LocalTime local) const;
  [[nodiscard]] Result<LocalTime> to_local(Timestamp moment) const;
  [[nodiscard]] std::string name() const;

 private:
  explicit TimeZone(const date::time_zone* zone) : zone_(zone) {}
  const date::time_zone* zone_;  // of the database, which lives as long as the process
};

}  // namespace pgstrata
