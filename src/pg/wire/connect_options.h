// How to make a connection, beside where to.
#pragma once

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
};

}  // namespace pgstrata
