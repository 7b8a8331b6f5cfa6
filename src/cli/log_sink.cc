#include "cli/log_sink.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "cli/redact.h"

namespace pgstrata {
namespace {

// The log calls one message at a time, and the console has its own lock.
class ConsoleSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit ConsoleSink(Console& console) : console_(console) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    console_.say({line.data(), line.size()});
  }
  void flush_() override {}

  Console& console_;
};

const char* pattern_of(LogStyle style) {
  switch (style) {
    case LogStyle::terminal:
      return "pgstrata: %l: %v";
    case LogStyle::journal:
      return "%l: %v";
    case LogStyle::file:
      break;
  }
  return "%Y-%m-%dT%H:%M:%S.%eZ %l: %v";
}

spdlog::level::level_enum level_of(Severity severity) {
  switch (severity) {
    case Severity::debug:
      return spdlog::level::debug;
    case Severity::info:
      return spdlog::level::info;
    case Severity::warning:
      return spdlog::level::warn;
    case Severity::error:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

LogStyle log_style(const Console& console, bool journal) {
  if (console.err_is_terminal()) return LogStyle::terminal;
  return journal ? LogStyle::journal : LogStyle::file;
}

ConsoleLog::ConsoleLog(Console& console, LogStyle style)
    : logger_(std::make_unique<spdlog::logger>("pgstrata", std::make_shared<ConsoleSink>(console))) {
  logger_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      pattern_of(style), spdlog::pattern_time_type::utc, std::string()));
  logger_->set_level(spdlog::level::info);
  set_log_sink(this);
}

ConsoleLog::~ConsoleLog() {
  set_log_sink(nullptr);
}

void ConsoleLog::set_threshold(Severity severity) {
  logger_->set_level(level_of(severity));
}

void ConsoleLog::write(Severity severity, std::string_view message) {
  logger_->log(level_of(severity), redact_passwords(message));
}

}  // namespace pgstrata
