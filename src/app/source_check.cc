#include "app/source_check.h"

#include <charconv>

#include "pg/wire/sql_connection.h"

namespace pgstrata {
namespace {

// A stream and a backup beside it.
constexpr int wal_senders_needed = 2;

// Settings whose values a source tells to anybody; nothing for one that it does not know.
template <class Show>
Result<SourceSettings> read_settings(const Show& show) {
  SourceSettings settings;
  PGS_TRY(settings.wal_level, show("wal_level"));
  PGS_TRY(settings.max_wal_senders, show("max_wal_senders"));
  PGS_TRY(settings.max_replication_slots, show("max_replication_slots"));
  PGS_TRY(settings.max_slot_wal_keep_size, show("max_slot_wal_keep_size"));
  PGS_TRY(settings.data_checksums, show("data_checksums"));
  return settings;
}

Result<std::optional<std::string>> unless_missing(Result<std::string> value) {
  if (value.has_value()) return std::optional(*std::move(value));
  if (value.error().code() == ErrorCode::not_found) return std::optional<std::string>();
  return std::unexpected(std::move(value).error());
}

bool below(const std::optional<std::string>& setting, int needed) {
  int value = 0;
  if (!setting) return false;
  const auto parsed = std::from_chars(setting->data(), setting->data() + setting->size(), value);
  return parsed.ec == std::errc() && value < needed;
}

Result<SourceFacts> read_facts(ReplicationConnection& connection, const SourceSettings& settings) {
  SourceFacts facts;
  facts.server_version = static_cast<std::uint32_t>(connection.server_version());
  PGS_TRY(facts.identity, connection.identify_system());
  PGS_TRY(const std::string segment_size, connection.show("wal_segment_size"));
  PGS_TRY(facts.wal_segment_bytes, parse_wal_segment_size(segment_size));
  facts.data_checksums = settings.data_checksums == "on";
  return facts;
}

// No replication connection: what else is wrong, as far as an ordinary one tells. The refusal itself is
// returned when that one cannot be had either.
Result<SourceReport> check_over_sql(const ConnectionUrl& url, Error refusal,
                                    const Cancellation& cancellation) {
  if (refusal.code() == ErrorCode::cancelled) return std::unexpected(std::move(refusal));
  auto connection = SqlConnection::connect(url.with_default("dbname", "postgres"), {}, cancellation);
  if (!connection.has_value()) return std::unexpected(std::move(refusal));
  const auto show = [&](const std::string& name) {
    return unless_missing(connection->query_value("SELECT current_setting($1, true)", {name}));
  };
  const auto settings = read_settings(show);
  if (!settings.has_value()) return std::unexpected(std::move(refusal));
  SourceReport report;
  judge_settings(*settings, report);
  // With too few, the refusal is only another word for it.
  if (!below(settings->max_wal_senders, wal_senders_needed)) {
    report.problems.insert(report.problems.begin(), {.what = refusal.describe(), .fix = refusal.hint()});
  }
  return report;
}

}  // namespace

void judge_settings(const SourceSettings& settings, SourceReport& report) {
  if (settings.wal_level == "minimal") {
    report.problems.push_back({.what = "wal_level is minimal",
                               .fix = "ALTER SYSTEM SET wal_level = 'replica'; and restart the server"});
  }
  if (below(settings.max_wal_senders, wal_senders_needed)) {
    report.problems.push_back({.what = fmt::format("max_wal_senders is {}, a stream and a backup need {}",
                                                   *settings.max_wal_senders, wal_senders_needed),
                               .fix = "ALTER SYSTEM SET max_wal_senders = 10; and restart the server"});
  }
  if (below(settings.max_replication_slots, 1)) {
    report.problems.push_back(
        {.what = fmt::format("max_replication_slots is {}, one is needed", *settings.max_replication_slots),
         .fix = "ALTER SYSTEM SET max_replication_slots = 10; and restart the server"});
  }
  if (settings.max_slot_wal_keep_size == "-1") {
    report.warnings.push_back(
        {.what = "max_slot_wal_keep_size is not set: while no stream runs, the source keeps WAL until its "
                 "disk is full",
         .fix = "keep `pgstrata stream` running, or ALTER SYSTEM SET max_slot_wal_keep_size = '...GB'; "
                "SELECT pg_reload_conf();"});
  }
  if (settings.in_recovery) {
    report.warnings.push_back(
        {.what =
             "the source is a standby: it cannot tell a quiet primary from a lost one, so a moment counts "
             "as covered only once a later commit has come",
         .fix = "let the URL lead to the primary"});
  }
  if (settings.data_checksums == "off") {
    report.warnings.push_back(
        {.what = "the source has no data checksums: pages damaged on its disk cannot be told",
         .fix = "stop the server once and run pg_checksums --enable"});
  }
}

Result<std::uint32_t> parse_wal_segment_size(std::string_view text) {
  std::uint32_t count = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(parsed.ptr, static_cast<std::size_t>(text.data() + text.size() - parsed.ptr));
  const std::uint64_t factor = unit == "MB" ? 1U << 20 : unit == "GB" ? 1U << 30 : 0;
  constexpr std::uint64_t segment_max_bytes = 1U << 30;
  if (parsed.ec != std::errc() || factor == 0 || count == 0 || count * factor > segment_max_bytes) {
    return fail(ErrorCode::failed, "the source says wal_segment_size is \"{}\", which makes no sense", text);
  }
  return static_cast<std::uint32_t>(count * factor);
}

Result<SourceReport> check_source(const ConnectionUrl& url, const Cancellation& cancellation) {
  auto connection = ReplicationConnection::connect(url, {}, cancellation);
  if (!connection.has_value()) return check_over_sql(url, std::move(connection).error(), cancellation);
  const auto show = [&](const std::string& name) { return unless_missing(connection->show(name)); };
  PGS_TRY(SourceSettings settings, read_settings(show));
  PGS_TRY(settings.in_recovery, connection->in_recovery());
  SourceReport report;
  judge_settings(settings, report);
  PGS_TRY(report.facts, read_facts(*connection, settings));
  return report;
}

}  // namespace pgstrata
