// How to make a connection, beside where to.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/log.h"

namespace pgstrata {

// Called on the connection's thread, inside the call that was reading, for each WARNING, NOTICE or INFO of
// the server.
using NoticeHandler = std::function<void(Severity severity, std::string_view message)>;

struct ConnectOptions {
  // Shown in pg_stat_replication and pg_stat_activity, and what synchronous_standby_names matches.
  std::string application_name = "pgstrata";
  // Default: warnings go to the log as warnings, the rest as debug messages.
  NoticeHandler on_notice;
  // How long the server may be silent while it owes the answer to a command; then the command has failed with
  // ErrorCode::unavailable. A base backup, which may have to wait for a checkpoint, is not held to it.
  std::chrono::milliseconds answer_limit = std::chrono::seconds(30);
};

}  // namespace pgstrata
