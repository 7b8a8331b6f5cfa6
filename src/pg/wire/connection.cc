#include "pg/wire/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <poll.h>

#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

void log_notice(Severity severity, std::string_view message) {
  log(severity, fmt::format("server: {}", message));
}

// Milliseconds for poll, rounded up so that a wait never ends just before its deadline.
int poll_timeout(std::optional<SteadyTime> deadline) {
  if (!deadline.has_value()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

}  // namespace

Connection::Connection(const ConnectOptions& options, const Cancellation& cancellation)
    : cancellation_(cancellation),
      on_notice_(options.on_notice ? options.on_notice : log_notice),
      answer_limit_(options.answer_limit) {}

Connection::~Connection() = default;

void Connection::receive_notice(void* self, const PGresult* notice) {
  const auto& connection = *static_cast<const Connection*>(self);
  const char* severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const char* message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  const std::string text = one_line(message == nullptr ? PQresultErrorMessage(notice) : message);
  const bool is_warning = severity != nullptr && std::string_view(severity) == "WARNING";
  try {
    connection.on_notice_(is_warning ? Severity::warning : Severity::debug, text);
  } catch (...) {
    // A handler's exception must not unwind libpq.
  }
}

Result<bool> Connection::wait(short events, std::optional<SteadyTime> deadline, std::string_view what) {
  const bool winding_up = wind_up_deadline_.has_value();
  if (winding_up) deadline = std::min(deadline.value_or(SteadyTime::max()), *wind_up_deadline_);
  for (;;) {
    if (!winding_up) PGS_CHECK(cancellation_.check());
    std::array<pollfd, 2> waited = {
        {{PQsocket(connection_.get()), events, 0}, {winding_up ? -1 : cancellation_.poll_fd(), POLLIN, 0}}};
    if (waited[0].fd < 0) return std::unexpected(connection_lost(connection_.get(), what));
    const int ready = ::poll(waited.data(), waited.size(), poll_timeout(deadline));
    if (ready < 0 && errno != EINTR) return std::unexpected(error_from_errno(errno, "wait for the server"));
    if (ready > 0 && waited[0].revents != 0) return true;
    if (ready == 0 && deadline.has_value() && std::chrono::steady_clock::now() >= *deadline) {
      if (winding_up) return fail(ErrorCode::unavailable, "{}: the server did not answer in time", what);
      return false;
    }
  }
}

short Connection::wanted_events() const {
  return static_cast<short>(output_pending_ ? POLLIN | POLLOUT : POLLIN);
}

Result<void> Connection::pump(std::string_view what) {
  if (PQconsumeInput(connection_.get()) == 0)
    return std::unexpected(connection_lost(connection_.get(), what));
  return flush(what);
}

Result<void> Connection::flush(std::string_view what) {
  const int unsent = PQflush(connection_.get());
  if (unsent < 0) return std::unexpected(connection_lost(connection_.get(), what));
  output_pending_ = unsent > 0;
  return {};
}

Result<void> Connection::send(const std::string& statement, std::string_view what) {
  if (PQsendQuery(connection_.get(), statement.c_str()) == 0) {
    return std::unexpected(connection_lost(connection_.get(), what));
  }
  return pump(what);
}

Result<void> Connection::send_query(const std::string& statement, const std::vector<const char*>& parameters,
                                    std::string_view what) {
  const auto count = static_cast<int>(parameters.size());
  if (PQsendQueryParams(connection_.get(), statement.c_str(), count, nullptr, parameters.data(), nullptr,
                        nullptr, 0) == 0) {
    return std::unexpected(connection_lost(connection_.get(), what));
  }
  return pump(what);
}

Result<ResultHandle> Connection::next_result(std::string_view what, AnswerDue due) {
  while (PQisBusy(connection_.get()) != 0) {
    std::optional<SteadyTime> deadline;
    if (due == AnswerDue::soon) deadline = std::chrono::steady_clock::now() + answer_limit_;
    PGS_TRY(const bool ready, wait(wanted_events(), deadline, what));
    if (!ready) {
      return fail(ErrorCode::unavailable, "{}: the server has been silent for {} s", what,
                  std::chrono::duration_cast<std::chrono::seconds>(answer_limit_).count());
    }
    PGS_CHECK(pump(what));
  }
  return ResultHandle(PQgetResult(connection_.get()));
}

Result<void> Connection::skip_results(std::string_view what) {
  for (;;) {
    PGS_TRY(const auto result, next_result(what));
    if (result == nullptr) return {};
  }
}

Result<ResultHandle> Connection::run(const std::string& statement, ExecStatusType expected,
                                     std::string_view what) {
  PGS_CHECK(send(statement, what));
  PGS_TRY(auto result, next_result(what));
  if (result == nullptr) return std::unexpected(connection_lost(connection_.get(), what));
  if (PQresultStatus(result.get()) != expected) {
    const auto error = server_error(result.get(), connection_.get());
    // When the server closed the connection after its words, these are what counts.
    static_cast<void>(skip_results(what));
    return std::unexpected(error_from_server(error, what));
  }
  PGS_CHECK(skip_results(what));
  return result;
}

Result<CopyStatus> Connection::try_copy(CopyMessage& into, std::string_view what) {
  for (const bool last_attempt : {false, true}) {
    char* memory = nullptr;
    const int size = PQgetCopyData(connection_.get(), &memory, 1);
    if (size > 0) {
      into.memory.reset(memory);
      into.size_bytes = static_cast<std::size_t>(size);
      return CopyStatus::message;
    }
    if (size == -1) return CopyStatus::ended;
    if (size < -1) return std::unexpected(connection_lost(connection_.get(), what));
    if (!last_attempt) PGS_CHECK(pump(what));
  }
  return CopyStatus::nothing_yet;
}

Result<CopyStatus> Connection::wait_copy(CopyMessage& into, std::optional<SteadyTime> deadline,
                                         std::string_view what) {
  if (!wind_up_deadline_.has_value()) PGS_CHECK(cancellation_.check());
  for (;;) {
    PGS_TRY(const CopyStatus status, try_copy(into, what));
    if (status != CopyStatus::nothing_yet) return status;
    PGS_TRY(const bool ready, wait(wanted_events(), deadline, what));
    if (!ready) return CopyStatus::nothing_yet;
  }
}

}  // namespace pgstrata
