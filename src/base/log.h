// Messages for the operator. Rooms speak through here; the command line decides where it goes.
//
// Lower case, no full stop, no newline. `hint` follows the house rule: what to do.
// Until a sink is set, warnings and errors go to stderr and the rest nowhere. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

namespace pgstrata {

enum class Severity { debug, info, warning, error };

class LogSink {
 public:
  virtual ~LogSink() = default;
  // May be called from any thread, never concurrently with itself.
  virtual void write(Severity severity, std::string_view message) = 0;
};

// The sink is borrowed and must outlive every use; nullptr restores the default.
void set_log_sink(LogSink* sink);

void log(Severity severity, std::string_view message);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log(Severity::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log(Severity::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log(Severity::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log(Severity::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace pgstrata
