// Whether a PostgreSQL server can be protected, and what to change on it if not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "pg/wire/connection_url.h"
#include "pg/wire/replication_connection.h"

namespace pgstrata {

struct SourceRemark {
  std::string what;  // "wal_level is minimal"
  std::string fix;   // "ALTER SYSTEM SET wal_level = 'replica'; and restart the server"
};

// What a replication connection tells about a source.
struct SourceFacts {
  std::uint32_t server_version = 0;
  SystemIdentity identity;
  std::uint32_t wal_segment_bytes = 0;
  bool data_checksums = false;
};

struct SourceReport {
  std::vector<SourceRemark> problems;  // each must be cured first
  std::vector<SourceRemark> warnings;
  std::optional<SourceFacts> facts;  // there when replication connections are taken
};

// Looks at everything, so that one round of changes will do: where no replication connection can be had, an
// ordinary one is asked about the rest. Errors: those of connecting, when there is no way in at all.
[[nodiscard]] Result<SourceReport> check_source(const ConnectionUrl& url, const Cancellation& cancellation);

// "16MB", "1GB" as SHOW prints sizes. Error: failed.
[[nodiscard]] Result<std::uint32_t> parse_wal_segment_size(std::string_view text);

// What follows from the settings alone; `setting` has the values that could be read.
struct SourceSettings {
  std::optional<std::string> wal_level = {};
  std::optional<std::string> max_wal_senders = {};
  std::optional<std::string> max_replication_slots = {};
  std::optional<std::string> max_slot_wal_keep_size = {};
  std::optional<std::string> data_checksums = {};
  bool in_recovery = false;
};
void judge_settings(const SourceSettings& settings, SourceReport& report);

}  // namespace pgstrata
