// Moments as people write them on the command line.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/timestamp.h"

namespace pgstrata {

struct TimeContext {
  const Clock& clock;
  // A name of the IANA database ("Europe/Berlin"); nothing: the machine's own zone (TZ, then /etc/localtime).
  std::optional<std::string> zone = {};
};

// Understands
//   2026-11-21T10:00:00Z, 2026-11-21 10:00:00+01:00      RFC 3339, whatever the zone
//   2026-11-21 10:00:05.25 UTC                           as pgstrata prints it
//   2026-11-21 10:00, 2026-11-21 10:00:05.25             in the zone
//   today 10:00, yesterday 10:00:05                      in the zone
//   2h ago, 90 minutes ago, 1d ago                       seconds, minutes, hours, days, weeks; of 24 h each
//   now
// Error: usage; also for a local time that the clocks jumped over, or that came twice: the message says both
// readings.
[[nodiscard]] Result<Timestamp> parse_time_argument(std::string_view text, const TimeContext& context);

}  // namespace pgstrata
