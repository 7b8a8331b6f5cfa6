#include "pg/wire/wal_stream.h"

#include "codec/endian.h"
#include "pg/wire/result_reader.h"
#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

constexpr std::string_view stream_start_what = "start streaming";
constexpr std::string_view stream_read_what = "receive WAL";
constexpr auto end_limit = std::chrono::seconds(1);

// Rests on SQLSTATEs and on which function of the server speaks, since its words may be in any language.
std::optional<WalLost> wal_lost(const ServerError& error) {
  const auto lost = [&](WalLost::Reason reason) { return WalLost{reason, error.describe()}; };
  if (error.is("42704")) return lost(WalLost::Reason::slot_missing);
  // ENOENT of a segment, or of the history file that leads to it.
  if (error.is("58P01")) return lost(WalLost::Reason::segment_removed);
  // From 18 on taking an invalidated slot fails; StartReplication's own 55000 is about a logical slot.
  if (error.is("55000") && error.function != "StartReplication") {
    return lost(WalLost::Reason::slot_invalidated);
  }
  const bool forked_in_start = error.function == "StartReplication" && !error.detail.empty();
  const bool unknown_timeline = error.function == "tliSwitchPoint" || error.function == "tliOfPointInHistory";
  if (error.is("XX000") && (forked_in_start || unknown_timeline)) return lost(WalLost::Reason::diverged);
  return std::nullopt;
}

Error stream_error(const ServerError& error, std::string_view what) {
  if (error.is("XX000") && error.function == "StartReplication") {
    return make_error(ErrorCode::unavailable, "{}: {}", what, error.describe())
        .with_hint(
            "The server does not have that WAL yet. A standby gets there; a server restored from an older "
            "state does not: take a new base backup.");
  }
  if (error.is("55006")) {
    return error_from_server(error, what)
        .with_hint(
            "Another pgstrata or pg_receivewal uses the slot: stop it, or end its connection on the server "
            "with pg_terminate_backend.");
  }
  return error_from_server(error, what);
}

Result<TimelineSwitch> timeline_switch(const PGresult* result) {
  TimelineSwitch ended;
  PGS_TRY(ended.next, ResultRow(result, 0).timeline(0));
  PGS_TRY(ended.switch_point, ResultRow(result, 0).lsn(1));
  return ended;
}

}  // namespace

std::string_view to_string(WalLost::Reason reason) {
  switch (reason) {
    case WalLost::Reason::slot_missing:
      return "slot_missing";
    case WalLost::Reason::slot_invalidated:
      return "slot_invalidated";
    case WalLost::Reason::segment_removed:
      return "segment_removed";
    case WalLost::Reason::diverged:
      return "diverged";
  }
  return "unknown";
}

Result<WalEvent> parse_wal_message(ByteView message) {
  ByteReader reader(message);
  switch (static_cast<char>(reader.u8())) {
    case 'w': {
      WalData data;
      data.start = Lsn{reader.big<std::uint64_t>()};
      data.server_end = Lsn{reader.big<std::uint64_t>()};
      data.send_time = from_postgres_timestamp(static_cast<std::int64_t>(reader.big<std::uint64_t>()));
      data.bytes = reader.bytes(reader.remaining());
      if (reader.failed()) break;
      return data;
    }
    case 'k': {
      Keepalive keepalive;
      keepalive.server_end = Lsn{reader.big<std::uint64_t>()};
      keepalive.send_time = from_postgres_timestamp(static_cast<std::int64_t>(reader.big<std::uint64_t>()));
      keepalive.reply_requested = reader.u8() != 0;
      if (reader.failed()) break;
      return keepalive;
    }
    default:
      return fail(ErrorCode::failed, "{}: a message of an unknown type", stream_read_what);
  }
  return fail(ErrorCode::failed, "{}: a message is cut short", stream_read_what);
}

Result<StartOutcome> WalStream::start(Connection& connection, std::string_view slot, Lsn position,
                                      TimelineId timeline, WalStream& stream) {
  stream = WalStream();
  stream.connection_ = &connection;
  const std::string with_slot = slot.empty() ? "" : fmt::format("SLOT \"{}\" ", slot);
  PGS_CHECK(connection.send(fmt::format("START_REPLICATION {}PHYSICAL {} TIMELINE {}", with_slot,
                                        to_string(position), timeline.value),
                            stream_start_what));
  PGS_TRY(const auto result, connection.next_result(stream_start_what));
  const auto status = PQresultStatus(result.get());
  if (status == PGRES_COPY_BOTH) {
    stream.streaming_ = true;
    return Streaming{};
  }
  if (status == PGRES_TUPLES_OK) {
    PGS_TRY(const auto ended, timeline_switch(result.get()));
    PGS_CHECK(connection.skip_results(stream_start_what));
    return ended;
  }
  const auto error = server_error(result.get(), connection.handle());
  static_cast<void>(connection.skip_results(stream_start_what));
  if (auto lost = wal_lost(error)) return *std::move(lost);
  return std::unexpected(stream_error(error, stream_start_what));
}

Result<WalEvent> WalStream::receive(SteadyTime deadline) {
  PGS_ASSERT(streaming_);
  CopyStatus status{};
  if (read_ahead_.has_value()) {
    status = *std::exchange(read_ahead_, std::nullopt);
    current_ = std::move(ahead_);
  } else {
    PGS_TRY(status, connection_->wait_copy(current_, deadline, stream_read_what));
  }
  if (status == CopyStatus::nothing_yet) return ReceiveTimeout{};
  if (status == CopyStatus::ended) return read_end();
  return parse_wal_message(current_.view());
}

Result<bool> WalStream::drained() {
  PGS_ASSERT(streaming_);
  if (read_ahead_.has_value()) return false;
  PGS_TRY(const auto status, connection_->try_copy(ahead_, stream_read_what));
  if (status == CopyStatus::nothing_yet) return true;
  read_ahead_ = status;
  return false;
}

Result<WalEvent> WalStream::read_end() {
  PGS_TRY(auto result, connection_->next_result(stream_read_what));
  if (PQresultStatus(result.get()) == PGRES_COPY_IN) {
    // The server has said that it is done; now we do, and it says why.
    if (PQputCopyEnd(connection_->handle(), nullptr) < 0) {
      return std::unexpected(connection_lost(connection_->handle(), stream_read_what));
    }
    PGS_CHECK(connection_->flush(stream_read_what));
    PGS_TRY(result, connection_->next_result(stream_read_what));
  }
  streaming_ = false;
  if (PQresultStatus(result.get()) == PGRES_TUPLES_OK) {
    PGS_TRY(const auto ended, timeline_switch(result.get()));
    PGS_CHECK(connection_->skip_results(stream_read_what));
    return ended;
  }
  if (result == nullptr || PQresultStatus(result.get()) == PGRES_COMMAND_OK) {
    return fail(ErrorCode::unavailable, "{}: the server has ended the stream; it is shutting down",
                stream_read_what);
  }
  const auto error = server_error(result.get(), connection_->handle());
  static_cast<void>(connection_->skip_results(stream_read_what));
  if (auto lost = wal_lost(error)) return *std::move(lost);
  return std::unexpected(stream_error(error, stream_read_what));
}

Result<void> WalStream::send_status(const StandbyStatus& status) {
  PGS_ASSERT(streaming_);
  ByteWriter writer;
  writer.u8('r');
  writer.big(status.written.value);
  writer.big(status.flushed.value);
  writer.big(status.applied.value);
  writer.big(static_cast<std::uint64_t>(to_postgres_timestamp(system_clock().now())));
  writer.u8(status.reply_requested ? 1 : 0);
  const auto text = as_text(writer.view());
  if (PQputCopyData(connection_->handle(), text.data(), static_cast<int>(text.size())) < 0) {
    return std::unexpected(connection_lost(connection_->handle(), "confirm WAL"));
  }
  return connection_->flush("confirm WAL");
}

Result<void> WalStream::end() {
  PGS_ASSERT(streaming_);
  constexpr std::string_view what = "end streaming";
  streaming_ = false;
  connection_->wind_up(std::chrono::steady_clock::now() + end_limit);
  if (PQputCopyEnd(connection_->handle(), nullptr) < 0) {
    return std::unexpected(connection_lost(connection_->handle(), what));
  }
  PGS_CHECK(connection_->flush(what));
  if (read_ahead_ != CopyStatus::ended) {
    for (auto status = CopyStatus::message; status != CopyStatus::ended;) {
      PGS_TRY(status, connection_->wait_copy(current_, std::nullopt, what));
    }
  }
  read_ahead_.reset();
  PGS_CHECK(connection_->skip_results(what));
  connection_->end_wind_up();
  return {};
}

}  // namespace pgstrata
