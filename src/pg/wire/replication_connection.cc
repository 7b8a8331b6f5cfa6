#include "pg/wire/replication_connection.h"

#include <algorithm>

#include "pg/wire/base_backup_reader.h"
#include "pg/wire/connection.h"
#include "pg/wire/result_reader.h"
#include "pg/wire/server_error.h"
#include "pg/wire/wal_stream.h"

namespace pgstrata {
namespace {

constexpr int read_slot_since = 15'00'00;
constexpr int options_in_parentheses_since = 15'00'00;

// The server's own rule, which also makes quoting safe.
Result<void> check_slot_name(std::string_view name) {
  constexpr std::size_t longest = 63;
  const bool well_formed =
      !name.empty() && name.size() <= longest &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
  if (well_formed) return {};
  return std::unexpected(make_error(ErrorCode::usage, "\"{}\" is not a replication slot name", name)
                             .with_hint("Use 1 to 63 of a-z, 0-9 and _."));
}

Result<void> check_setting_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  };
  if (!name.empty() && std::all_of(name.begin(), name.end(), allowed)) return {};
  return fail(ErrorCode::usage, "\"{}\" is not the name of a setting", name);
}

}  // namespace

class ReplicationConnection::Impl {
 public:
  explicit Impl(std::unique_ptr<Connection> connected) : connection(std::move(connected)) {}

  // For commands, which neither a backup nor a stream under way lets through.
  Connection& idle() const {
    PGS_ASSERT(backup.finished() && stream.finished());
    return *connection;
  }

  std::unique_ptr<Connection> connection;
  BaseBackupReader backup;
  WalStream stream;
};

ReplicationConnection::ReplicationConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReplicationConnection::ReplicationConnection(ReplicationConnection&&) noexcept = default;
ReplicationConnection& ReplicationConnection::operator=(ReplicationConnection&&) noexcept = default;
ReplicationConnection::~ReplicationConnection() = default;

Result<ReplicationConnection> ReplicationConnection::connect(const ConnectionUrl& url,
                                                             const ConnectOptions& options,
                                                             const Cancellation& cancellation) {
  PGS_TRY(auto connection, Connection::connect(url, options, ConnectionKind::replication, cancellation));
  return ReplicationConnection(std::make_unique<Impl>(std::move(connection)));
}

int ReplicationConnection::server_version() const {
  return impl_->connection->server_version();
}

Result<std::string> ReplicationConnection::show(std::string_view parameter) {
  PGS_CHECK(check_setting_name(parameter));
  const std::string what = fmt::format("show {}", parameter);
  PGS_TRY(const auto result, impl_->idle().run(fmt::format("SHOW {}", parameter), PGRES_TUPLES_OK, what));
  return std::string(ResultRow(result.get(), 0).text(0));
}

Result<SystemIdentity> ReplicationConnection::identify_system() {
  PGS_TRY(const auto result, impl_->idle().run("IDENTIFY_SYSTEM", PGRES_TUPLES_OK, "identify the server"));
  const ResultRow row(result.get(), 0);
  SystemIdentity identity;
  PGS_TRY(identity.system.value, row.number<std::uint64_t>(0));
  PGS_TRY(identity.timeline, row.timeline(1));
  PGS_TRY(identity.flush_position, row.lsn(2));
  return identity;
}

Result<TimelineHistoryFile> ReplicationConnection::timeline_history(TimelineId timeline) {
  const std::string what = fmt::format("read the history of timeline {}", timeline);
  // A server that has no such file says so as of any missing file.
  if (timeline.value <= 1) return fail(ErrorCode::not_found, "{}: the first timeline has none", what);
  auto& connection = impl_->idle();
  PGS_CHECK(connection.send(fmt::format("TIMELINE_HISTORY {}", timeline), what));
  PGS_TRY(const auto result, connection.next_result(what));
  const bool answered = PQresultStatus(result.get()) == PGRES_TUPLES_OK;
  const auto error = answered ? ServerError() : server_error(result.get(), connection.handle());
  auto skipped = connection.skip_results(what);
  if (error.is("58P01")) return fail(ErrorCode::not_found, "{}: {}", what, error.describe());
  if (!answered) return std::unexpected(error_from_server(error, what));
  PGS_CHECK(skipped);
  const ResultRow row(result.get(), 0);
  return TimelineHistoryFile{.file_name = std::string(row.text(0)), .content = to_bytes(row.text(1))};
}

Result<void> ReplicationConnection::create_physical_slot(std::string_view name) {
  PGS_CHECK(check_slot_name(name));
  const bool parentheses = server_version() >= options_in_parentheses_since;
  const auto command = fmt::format("CREATE_REPLICATION_SLOT \"{}\" PHYSICAL {}", name,
                                   parentheses ? "(RESERVE_WAL true)" : "RESERVE_WAL");
  PGS_CHECK(impl_->idle().run(command, PGRES_TUPLES_OK, fmt::format("create replication slot \"{}\"", name)));
  return {};
}

Result<void> ReplicationConnection::drop_slot(std::string_view name) {
  PGS_CHECK(check_slot_name(name));
  PGS_CHECK(impl_->idle().run(fmt::format("DROP_REPLICATION_SLOT \"{}\"", name), PGRES_COMMAND_OK,
                              fmt::format("drop replication slot \"{}\"", name)));
  return {};
}

Result<std::optional<SlotState>> ReplicationConnection::read_slot(std::string_view name) {
  PGS_CHECK(check_slot_name(name));
  const std::string what = fmt::format("read replication slot \"{}\"", name);
  if (server_version() < read_slot_since) {
    return fail(ErrorCode::unsupported, "{}: PostgreSQL {} cannot tell it over a replication connection",
                what, server_major());
  }
  PGS_TRY(const auto result,
          impl_->idle().run(fmt::format("READ_REPLICATION_SLOT \"{}\"", name), PGRES_TUPLES_OK, what));
  const ResultRow row(result.get(), 0);
  if (row.text(0).empty()) return std::nullopt;
  SlotState state;
  if (!row.text(1).empty()) {
    PGS_TRY(state.restart_lsn, row.lsn(1));
  }
  if (!row.text(2).empty()) {
    PGS_TRY(state.timeline, row.timeline(2));
  }
  return state;
}

Result<BaseBackupStart> ReplicationConnection::start_base_backup(const BaseBackupOptions& options) {
  return BaseBackupReader::start(impl_->idle(), options, impl_->backup);
}

Result<BaseBackupEvent> ReplicationConnection::next_base_backup_event() {
  return impl_->backup.next();
}

Result<StartOutcome> ReplicationConnection::start_replication(std::string_view slot, Lsn start,
                                                              TimelineId timeline) {
  if (!slot.empty()) PGS_CHECK(check_slot_name(slot));
  return WalStream::start(impl_->idle(), slot, start, timeline, impl_->stream);
}

Result<WalEvent> ReplicationConnection::receive(SteadyTime deadline) {
  return impl_->stream.receive(deadline);
}
Result<bool> ReplicationConnection::drained() {
  return impl_->stream.drained();
}
Result<bool> ReplicationConnection::in_recovery() {
  constexpr int first_with_in_hot_standby = 140000;
  const auto* setting =
      server_version() >= first_with_in_hot_standby ? "in_hot_standby" : "transaction_read_only";
  PGS_TRY(const auto value, show(setting));
  return value == "on";
}

Result<void> ReplicationConnection::send_status(const StandbyStatus& status) {
  return impl_->stream.send_status(status);
}
Result<void> ReplicationConnection::end_replication() {
  return impl_->stream.end();
}

}  // namespace pgstrata
