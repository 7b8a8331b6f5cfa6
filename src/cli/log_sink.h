// Where log messages go on the command line: to the console's messages, through spdlog.
#pragma once

#include <memory>

#include "base/log.h"
#include "cli/console.h"

namespace spdlog {
class logger;
}

namespace pgstrata {

enum class LogStyle {
  terminal,  // "pgstrata: warning: ..."
  journal,   // "warning: ...": what reads it adds the time itself
  file,      // "2026-11-21T10:00:00.123Z warning: ..."
};

// For a terminal, systemd's journal (JOURNAL_STREAM is set), anything else.
[[nodiscard]] LogStyle log_style(const Console& console, bool journal);

// Is the log's sink while it lives. One at a time.
class ConsoleLog final : public LogSink {
 public:
  ConsoleLog(Console& console, LogStyle style);
  ~ConsoleLog() override;
  ConsoleLog(const ConsoleLog&) = delete;
  ConsoleLog& operator=(const ConsoleLog&) = delete;

  // Messages below `severity` are dropped. Before the first call: those below info.
  void set_threshold(Severity severity);
  void write(Severity severity, std::string_view message) override;

 private:
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace pgstrata
