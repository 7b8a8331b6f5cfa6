#include "cli/human.h"

#include <array>

namespace pgstrata {

std::string human_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // From 1023.5 on it would be printed as 1024.
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0 || value >= 9.95) return fmt::format("{:.0f} {}", value, units[unit]);
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_duration(std::chrono::microseconds span) {
  using namespace std::chrono;
  if (span < microseconds(0)) span = microseconds(0);
  if (span < seconds(10)) return fmt::format("{:.1f} s", duration<double>(span).count());
  const std::int64_t total = round<seconds>(span).count();
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {} s", total / 60, total % 60);
  if (total < 86400) return fmt::format("{} h {} min", total / 3600, total % 3600 / 60);
  return fmt::format("{} d {} h", total / 86400, total % 86400 / 3600);
}

std::string human_time(Timestamp moment) {
  return moment.valid() ? to_display(moment) : "-";
}

std::string human_server_version(std::uint32_t version) {
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

std::string counted(std::uint64_t count, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", count, count == 1 ? singular : plural);
}

}  // namespace pgstrata
