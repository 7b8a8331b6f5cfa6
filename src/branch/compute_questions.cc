#include "branch/compute_questions.h"

#include <algorithm>
#include <clocale>

#include <locale.h>

#include "base/log.h"
#include "pg/format/role_names.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t roles_limit_bytes = 256U << 20;

// What the files say, which may be behind what the server knows.
std::vector<std::string> names_in_files(const BranchHome& home) {
  const auto folder = home.data() / "global";
  const auto map = read_regular_file(folder / "pg_filenode.map", 65536);
  if (!map) return {};
  const auto number = mapped_file_number(*map, pg_authid_oid);
  if (!number) return {};
  const auto roles = read_regular_file(folder / std::to_string(*number), roles_limit_bytes);
  if (!roles) return {};
  return names_of_role(*roles, bootstrap_superuser_oid);
}

std::vector<std::string> likely_names(const BranchHome& home, const BranchRecord& record) {
  auto names = names_in_files(home);
  const std::vector<std::string> further_names{record.superuser, record.user, "postgres"};
  for (const auto& further : further_names) {
    if (std::ranges::find(names, further) == names.end()) names.push_back(further);
  }
  return names;
}

bool is_missing(const std::string& locale) {
  if (locale.empty() || locale == "C" || locale == "POSIX") return false;
  const auto found = ::newlocale(LC_COLLATE_MASK | LC_CTYPE_MASK, locale.c_str(), nullptr);
  if (found == nullptr) return true;
  ::freelocale(found);
  return false;
}

Result<void> warn_of_missing(SqlConnection& connection) {
  PGS_TRY(const auto databases,
          connection.query("SELECT datname, datcollate, datctype FROM pg_database WHERE datallowconn"));
  for (const auto& row : databases.rows) {
    const std::vector<std::string> locales{row[1].value_or(""), row[2].value_or("")};
    for (const auto& locale : locales) {
      if (!is_missing(locale)) continue;
      log_warning(
          "database \"{}\" has the locale \"{}\", which this machine lacks: it cannot be opened "
          "here before that is there (`localedef`, or Debian's package locales-all)",
          row[0].value_or(""), locale);
      break;
    }
  }
  return {};
}

Result<void> warn_of_versions(SqlConnection& connection) {
  const bool by_database = connection.server_version() >= 150000;
  PGS_TRY(
      const auto other,
      connection.query(
          by_database ? "SELECT datname, datcollversion, pg_database_collation_actual_version(oid) "
                        "FROM pg_database WHERE datcollversion <> pg_database_collation_actual_version(oid)"
                      : "SELECT collname, collversion, pg_collation_actual_version(oid) FROM pg_collation "
                        "WHERE collversion <> pg_collation_actual_version(oid) LIMIT 1"));
  for (const auto& row : other.rows) {
    log_warning(
        "{} \"{}\" was sorted by version {} of its collation, this machine has {}: indexes on text "
        "may be in the wrong order here until REINDEX",
        by_database ? "database" : "collation", row[0].value_or(""), row[1].value_or(""),
        row[2].value_or(""));
  }
  return {};
}

}  // namespace

Result<SqlConnection> connect_to_compute(const BranchHome& home, BranchRecord& record,
                                         const Cancellation& cancellation) {
  PGS_TRY(const auto empty, ConnectionUrl::parse(fmt::format("port={}", record.port)));
  // Whatever its roles and databases are set to: names mean PostgreSQL's own, and nothing takes for ever.
  std::string settings = "-c search_path=pg_catalog -c statement_timeout=10s";
  if (record.server_version >= 170000) settings += " -c event_triggers=off";
  const auto place = empty.with("host", home.socket_folder().native()).with("options", settings);
  std::optional<Error> first;
  for (const auto& name : likely_names(home, record)) {
    for (const auto* database : {"postgres", "template1"}) {
      auto connection =
          SqlConnection::connect(place.with("user", name).with("dbname", database), {}, cancellation);
      if (!connection && !first) first = connection.error();
      if (!connection) continue;
      PGS_TRY(record.superuser, connection->query_value("SELECT pg_get_userbyid(10)"));
      return connection;
    }
  }
  return std::unexpected(*std::move(first));
}

Result<Lsn> replayed_to(SqlConnection& connection) {
  PGS_TRY(const auto text, connection.query_value("SELECT pg_last_wal_replay_lsn()"));
  return parse_lsn(text);
}

void warn_of_other_locales(SqlConnection& connection) {
  auto asked = warn_of_missing(connection);
  if (asked) asked = warn_of_versions(connection);
  if (!asked) log_debug("the branch's locales could not be asked for: {}", asked.error().describe());
}

}  // namespace pgstrata
