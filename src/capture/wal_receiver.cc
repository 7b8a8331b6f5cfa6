#include "capture/wal_receiver.h"

#include <utility>

#include "base/log.h"
#include "capture/wal_positioning.h"
#include "capture/wal_stream_loop.h"
#include "capture/wal_synchronous.h"

namespace pgstrata {

std::string_view to_string(WalReceiverState state) {
  switch (state) {
    case WalReceiverState::connecting:
      return "connecting";
    case WalReceiverState::catching_up:
      return "catching_up";
    case WalReceiverState::streaming:
      return "streaming";
    case WalReceiverState::idle:
      return "idle";
    case WalReceiverState::reconnecting:
      return "reconnecting";
    case WalReceiverState::stalled:
      return "stalled";
    case WalReceiverState::blocked:
      return "blocked";
  }
  return "unknown";
}

void WalReception::recovered(Lsn begun) {
  backoff.reset();
  const bool first = !std::exchange(ever_streamed, true);
  const bool was_lost = std::exchange(loss_told, false);
  if (!first && !was_lost) return;
  log_info("stream of {}: receiving{} from {} on timeline {}", name(), was_lost ? " again" : "", begun,
           sink->timeline());
}

class WalReceiver::Impl {
 public:
  explicit Impl(WalReceiverOptions options) : reception_(std::move(options)) {}

  Result<void> run();

 private:
  // One connection. Returns when receiving is done.
  Result<void> attempt();
  Result<void> check_cluster(const SystemIdentity& source);
  Result<void> check_synchronous(ReplicationConnection& connection);
  // In a pause. The source may have gone on meanwhile: its first word afterwards may tell of where we were.
  Result<void> look_around(ReplicationConnection& connection);
  Result<void> stream(ReplicationConnection& connection);
  [[nodiscard]] bool curable(const Error& error);
  [[nodiscard]] bool has_to_be_told(const std::string& reason, bool another_loss);
  void tell(const Error& error);
  Result<void> make_durable();

  // What was asked for is refused again and again: time may cure it.
  static constexpr int refusal_limit = 4;

  WalReception reception_;
  bool other_cluster_ = false;
  std::optional<SteadyTime> slot_busy_since_;
};

Result<void> WalReceiver::Impl::run() {
  const auto& cancellation = reception_.options.cancellation;
  for (;;) {
    reception_.repository_failed = false;
    const auto done = attempt();
    if (done || cancellation.requested()) return make_durable();
    if (reception_.repository_failed) reception_.sink.reset();
    if (!curable(done.error())) {
      static_cast<void>(make_durable());
      return done;
    }
    tell(done.error());
    if (cancellation.wait_for(reception_.backoff.next())) return make_durable();
  }
}

Result<void> WalReceiver::Impl::make_durable() {
  if (!reception_.sink) return {};
  const auto deadline = reception_.options.clock.steady() + reception_.options.timings.stop_limit;
  PGS_TRY(const bool all, reception_.sink->finish(deadline));
  reception_.report();
  if (!all) {
    log_warning("stream of {}: stopped before all was stored: durable up to {}; the source keeps the rest",
                reception_.name(), reception_.sink->durable());
  }
  return {};
}

Result<void> WalReceiver::Impl::attempt() {
  const auto& options = reception_.options;
  // Who was taken over from has nothing to say to the source any more; it would only hear that the slot is in use.
  if (auto allowed = options.still_allowed(); !allowed && allowed.error().code() == ErrorCode::busy)
    return reception_.repository(std::move(allowed));
  PGS_TRY(auto connection, ReplicationConnection::connect(options.url,
                                                          {.application_name = options.application_name,
                                                           .on_notice = {},
                                                           .answer_limit = options.timings.answer_limit},
                                                          options.cancellation));
  PGS_TRY(const auto source, connection.identify_system());
  PGS_CHECK(check_cluster(source));
  reception_.status.server_end = source.flush_position;
  PGS_CHECK(check_synchronous(connection));
  if (!reception_.sink) PGS_CHECK(WalPositioning(reception_, connection).open(source));
  return stream(connection);
}

Result<void> WalReceiver::Impl::check_cluster(const SystemIdentity& source) {
  const auto& cluster = reception_.options.cluster;
  if (source.system == cluster.system_identifier) return {};
  other_cluster_ = true;
  return std::unexpected(
      make_error(ErrorCode::failed,
                 "the server is another cluster now: its system identifier is {}, that of {} is {}",
                 source.system, reception_.name(), cluster.system_identifier)
          .with_hint(fmt::format(
              "What the repository holds of the old cluster stays. Add this one under a new name with "
              "`pgstrata add`, or say where {0} is now with `pgstrata add {0} --url ...`.",
              reception_.name())));
}

Result<void> WalReceiver::Impl::check_synchronous(ReplicationConnection& connection) {
  PGS_TRY(const auto names, connection.show("synchronous_standby_names"));
  PGS_TRY(const auto our_name, connection.show("application_name"));  // the URL may have one of its own
  reception_.status.synchronous = is_synchronous_standby(names, our_name);
  return {};
}

Result<void> WalReceiver::Impl::look_around(ReplicationConnection& connection) {
  PGS_CHECK(check_synchronous(connection));
  PGS_TRY(const auto source, connection.identify_system());
  reception_.status.server_end = std::max(reception_.status.server_end, source.flush_position);
  return {};
}

Result<void> WalReceiver::Impl::stream(ReplicationConnection& connection) {
  WalPositioning positioning(reception_, connection);
  for (int refusals = 0; refusals < refusal_limit;) {
    const auto& sink = *reception_.sink;
    // It ends when the timeline does, so it holds for as long as this timeline is streamed.
    PGS_TRY(reception_.source_recovers, connection.in_recovery());
    PGS_TRY(const auto outcome,
            connection.start_replication(reception_.options.cluster.slot, sink.received(), sink.timeline()));
    slot_busy_since_.reset();
    const auto* ended = std::get_if<TimelineSwitch>(&outcome);
    const auto* lost = std::get_if<WalLost>(&outcome);
    WalStreamLoop::End end;
    if (ended == nullptr && lost == nullptr) {
      refusals = 0;
      PGS_TRY(end, WalStreamLoop(reception_, connection).run());
      if (std::holds_alternative<WalStreamLoop::Done>(end)) return {};
      if (std::holds_alternative<WalStreamLoop::Pause>(end)) PGS_CHECK(look_around(connection));
      ended = std::get_if<TimelineSwitch>(&end);
      lost = std::get_if<WalLost>(&end);
    } else {
      ++refusals;
    }
    if (ended != nullptr) PGS_CHECK(positioning.follow(*ended));
    if (lost != nullptr) PGS_CHECK(positioning.recover(*lost));
  }
  return fail(ErrorCode::unavailable, "the source refuses to stream from {} on", reception_.sink->received());
}

bool WalReceiver::Impl::curable(const Error& error) {
  if (reception_.repository_failed) {
    switch (error.code()) {
      case ErrorCode::busy:  // the lease is lost
      case ErrorCode::already_exists:
      case ErrorCode::wrong_key:
      case ErrorCode::newer_format:
      case ErrorCode::usage:
        return false;
      default:
        return true;
    }
  }
  if (other_cluster_) return false;
  if (error.code() == ErrorCode::busy) {
    const auto now = reception_.options.clock.steady();
    if (!slot_busy_since_) slot_busy_since_ = now;
    return now - *slot_busy_since_ < reception_.options.timings.slot_busy_limit;
  }
  return reception_.ever_streamed || error.code() == ErrorCode::unavailable;
}

// Whether the log is to say so now; and then takes it for said.
bool WalReceiver::Impl::has_to_be_told(const std::string& reason, bool another_loss) {
  const auto now = reception_.options.clock.steady();
  const auto& timings = reception_.options.timings;
  const auto wait = reason == reception_.told_reason ? timings.tell_again_after : timings.tell_change_after;
  if (reception_.loss_told && !another_loss && now - reception_.told_at < wait) return false;
  reception_.loss_told = true;
  reception_.told_reason = reason;
  reception_.told_at = now;
  return true;
}

void WalReceiver::Impl::tell(const Error& error) {
  const auto state = reception_.status.state;
  const auto next = reception_.repository_failed ? WalReceiverState::blocked : WalReceiverState::reconnecting;
  const std::string reason = error.describe();
  // A source that has stalled has spoken before, and a repository that takes nothing is worse than a source
  // that is away.
  const bool another =
      state == WalReceiverState::stalled || (state != next && next == WalReceiverState::blocked);
  const bool lasts = reception_.loss_told && !another;
  if (has_to_be_told(reason, another)) {
    const auto hint = error.hint().empty() ? std::string() : "; " + error.hint();
    if (reception_.repository_failed) {
      log_error(
          "stream of {}: the repository {}does not take WAL: {}{}; nothing is confirmed to the source, which "
          "keeps its WAL meanwhile",
          reception_.name(), lasts ? "still " : "", reason, hint);
    } else if (state == WalReceiverState::stalled) {
      log_error("stream of {} stalled: {}", reception_.name(), reason);
    } else {
      log_warning("stream of {}: {}{}{}; trying again", reception_.name(),
                  lasts ? "still not receiving: " : "", reason, hint);
    }
  }
  reception_.set_state(next, reason);
}

WalReceiver::WalReceiver(WalReceiverOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
WalReceiver::~WalReceiver() = default;

Result<void> WalReceiver::run() {
  return impl_->run();
}

}  // namespace pgstrata
