// Figures for people.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/timestamp.h"

namespace pgstrata {

// "0 B", "512 B", "2.5 KiB", "13 MiB", "1.2 TiB": two significant digits or more.
[[nodiscard]] std::string human_size(std::uint64_t bytes);
// "0.4 s", "12 s", "3 min 5 s", "2 h 10 min", "4 d 3 h".
[[nodiscard]] std::string human_duration(std::chrono::microseconds span);
// to_display, or "-" for none.
[[nodiscard]] std::string human_time(Timestamp moment);
// 150018 -> "15.18".
[[nodiscard]] std::string human_server_version(std::uint32_t version);
// "1 file", "2 files".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view singular, std::string_view plural);

}  // namespace pgstrata
