#include "base/log.h"

#include <cstdio>
#include <mutex>

namespace pgstrata {

namespace {
std::mutex sink_mutex;      // guards sink_pointer and serialises writes
LogSink* sink_pointer = nullptr;
}  // namespace

void set_log_sink(LogSink* sink) {
  const std::lock_guard lock(sink_mutex);
  sink_pointer = sink;
}

void log(Severity severity, std::string_view message) {
  const std::lock_guard lock(sink_mutex);
  if (sink_pointer != nullptr) {
    sink_pointer->write(severity, message);
  } else if (severity >= Severity::warning) {
    fmt::print(stderr, "{}: {}\n", severity == Severity::warning ? "WARNING" : "ERROR", message);
  }
}

}  // namespace pgstrata
