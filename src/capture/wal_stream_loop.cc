#include "capture/wal_stream_loop.h"

#include <algorithm>
#include <utility>

namespace pgstrata {

namespace {

// How soon news of a segment being sealed is looked for.
constexpr std::chrono::milliseconds sealing_poll_interval{2};
// Without data for this long the stream is idle.
constexpr std::chrono::seconds idle_after{1};
// Work of our own that took longer than this is no silence of the source's.
constexpr std::chrono::seconds long_work{1};

std::chrono::milliseconds flush_wait(const ClusterSpace& space) {
  return space.store().capabilities().journals ? WalFlushPolicy::longest_wait
                                               : WalFlushPolicy::longest_wait_for_request;
}

}  // namespace

WalStreamLoop::WalStreamLoop(WalReception& reception, ReplicationConnection& connection)
    : reception_(reception),
      connection_(connection),
      sink_(*reception.sink),
      flushing_(flush_wait(reception.options.space)),
      now_(reception.options.clock.steady()),
      begun_at_(now_),
      begun_durable_(sink_.durable()),
      heard_at_(now_),
      data_at_(now_ - idle_after),
      confirmed_at_(now_),
      probed_at_(now_) {}

Result<WalStreamLoop::End> WalStreamLoop::run() {
  // The answer tells where the source is, and that it is there.
  PGS_CHECK(confirm(true));
  for (;;) {
    if (reception_.options.cancellation.requested()) return stop();
    auto end = step();
    if (end && !end->has_value()) {
      const auto until = reception_.options.until;
      if (until && sink_.durable() >= *until) return stop();
      continue;
    }
    if (!end && end.error().code() == ErrorCode::cancelled) return stop();
    if (!reception_.repository_failed) {
      // The connection may be away for long.
      PGS_CHECK(reception_.repository(sink_.finish(now_ + reception_.options.timings.stop_limit)));
      reception_.report();
    }
    if (!end) return std::unexpected(std::move(end).error());
    return *std::move(*end);
  }
}

Result<std::optional<WalStreamLoop::End>> WalStreamLoop::step() {
  PGS_CHECK(rest());
  PGS_TRY(const auto event, connection_.receive(next_deadline()));
  now_ = reception_.options.clock.steady();
  if (const auto* ended = std::get_if<TimelineSwitch>(&event)) return End(*ended);
  if (const auto* lost = std::get_if<WalLost>(&event)) return End(*lost);
  if (const auto* data = std::get_if<WalData>(&event)) PGS_CHECK(take(*data));
  if (const auto* keepalive = std::get_if<Keepalive>(&event)) take(*keepalive);
  if (std::holds_alternative<ReceiveTimeout>(event)) PGS_CHECK(check_silence());
  PGS_CHECK(flush_if_due());
  PGS_CHECK(confirm_if_due());
  update_state();
  if (pause_due()) return pause();
  const auto before = std::exchange(now_, reception_.options.clock.steady());
  if (now_ - before > long_work) heard_at_ = now_;
  return std::nullopt;
}

Result<void> WalStreamLoop::rest() {
  if (reception_.status.synchronous || sink_.sealing() || !flushing_.may_rest()) return {};
  PGS_TRY(const bool drained, connection_.drained());
  if (!drained) return {};
  flushing_.rested();
  reception_.options.cancellation.wait_for(WalFlushPolicy::rest);
  return {};
}

Result<void> WalStreamLoop::take(const WalData& data) {
  // The sink refuses it as well, but this is no error of the repository.
  if (data.start != sink_.received()) {
    return fail(ErrorCode::failed, "the server sent WAL from {} on where {} was due", data.start,
                sink_.received());
  }
  PGS_CHECK(reception_.repository(sink_.accept(data.start, data.bytes, data.send_time)));
  data_at_ = now_;
  heard(data.server_end, data.send_time, true);
  flushing_.set_behind(behind() > reception_.options.cluster.wal_segment_bytes);
  if (sink_.has_unflushed()) {
    flushing_.received(now_, data.bytes.size());
  } else {
    flushing_.settled();
  }
  return {};
}

void WalStreamLoop::take(const Keepalive& keepalive) {
  reply_requested_ |= keepalive.reply_requested;
  heard(keepalive.server_end, keepalive.send_time, false);
}

void WalStreamLoop::heard(Lsn server_end, Timestamp send_time, bool with_data) {
  heard_at_ = now_;
  spoken_to_ = true;
  auto& status = reception_.status;
  status.server_end = std::max({status.server_end, server_end, sink_.received()});
  status.server_time = send_time;
  if (!reception_.source_recovers) marks_.observe(status.server_end, send_time, with_data, now_);
}

Result<void> WalStreamLoop::flush_if_due() {
  PGS_CHECK(reception_.repository(sink_.poll()));
  if (sink_.sealing()) return {};
  if (!sink_.has_unflushed()) {
    const auto mark = marks_.when_idle(sink_.received(), now_);
    return mark ? flush(mark) : Result<void>();
  }
  const auto until = reception_.options.until;
  const auto due_at = flushing_.due().value_or(now_);
  bool due = (until && sink_.received() >= *until) || due_at + WalFlushPolicy::longest_taking_along <= now_;
  if (!due && (reception_.status.synchronous || due_at <= now_)) {
    PGS_TRY(due, connection_.drained());
  }
  return due ? flush(marks_.with_flush(sink_.received(), now_)) : Result<void>();
}

Result<void> WalStreamLoop::flush(const std::optional<WalMark>& mark) {
  PGS_CHECK(reception_.repository(sink_.flush(mark)));
  flushing_.flushed(reception_.options.clock.steady());
  if (mark) marks_.written(*mark, now_);
  return {};
}

Result<void> WalStreamLoop::confirm_if_due() {
  const auto& timings = reception_.options.timings;
  const bool probing = now_ >= probe_at();
  const bool due = sink_.durable() > confirmed_ || now_ - confirmed_at_ >= timings.confirm_interval;
  if (!probing && !due && !reply_requested_) return {};
  return confirm(probing);
}

Result<void> WalStreamLoop::confirm(bool ask_for_reply) {
  const Lsn durable = sink_.durable();
  PGS_CHECK(connection_.send_status(
      {.written = durable, .flushed = durable, .applied = durable, .reply_requested = ask_for_reply}));
  confirmed_ = durable;
  confirmed_at_ = now_;
  reply_requested_ = false;
  if (ask_for_reply) probed_at_ = now_;
  return {};
}

SteadyTime WalStreamLoop::probe_at() const {
  const auto silence = std::max(heard_at_, probed_at_) + reception_.options.timings.probe_after;
  const auto wanted = marks_.wants_message_at();
  return wanted && *wanted > probed_at_ ? std::min(silence, *wanted) : silence;
}

Result<void> WalStreamLoop::check_silence() {
  const auto limit = reception_.options.timings.stalled_after;
  if (now_ - heard_at_ < limit) return {};
  auto problem = fmt::format("no word from the source for {} s",
                             std::chrono::duration_cast<std::chrono::seconds>(limit).count());
  reception_.set_state(WalReceiverState::stalled, problem);
  return std::unexpected(Error(ErrorCode::unavailable, std::move(problem)));
}

SteadyTime WalStreamLoop::next_deadline() const {
  const auto& timings = reception_.options.timings;
  auto deadline =
      std::min({probe_at(), confirmed_at_ + timings.confirm_interval, heard_at_ + timings.stalled_after});
  if (sink_.sealing()) return std::min(deadline, now_ + sealing_poll_interval);
  if (const auto due = flushing_.due()) deadline = std::min(deadline, *due);
  return deadline;
}

void WalStreamLoop::update_state() {
  if (!spoken_to_) return;
  // The way from the source into the repository works.
  if (all_is_here() || sink_.durable() > begun_durable_) reception_.recovered(begun_durable_);
  auto state = WalReceiverState::streaming;
  if (behind() > reception_.options.cluster.wal_segment_bytes) {
    state = WalReceiverState::catching_up;
  } else if (all_is_here() && now_ - data_at_ >= idle_after) {
    state = WalReceiverState::idle;
  }
  reception_.set_state(state);
}

std::uint64_t WalStreamLoop::behind() const {
  const Lsn server_end = reception_.status.server_end;
  return server_end > sink_.received() ? server_end - sink_.received() : 0;
}

bool WalStreamLoop::all_is_here() const {
  return behind() == 0 && !sink_.sealing() && !sink_.has_unflushed();
}

// Not while anything is on its way: what the source has sent by then is sent once more.
bool WalStreamLoop::pause_due() const {
  return now_ - begun_at_ >= reception_.options.timings.pause_interval && spoken_to_ && all_is_here();
}

Result<std::optional<WalStreamLoop::End>> WalStreamLoop::pause() {
  PGS_CHECK(connection_.end_replication());
  return End(Pause{});
}

Result<WalStreamLoop::End> WalStreamLoop::stop() {
  const auto limit = reception_.options.timings.stop_limit;
  PGS_CHECK(reception_.repository(sink_.finish(reception_.options.clock.steady() + limit)));
  reception_.report();
  // Confirming and leaving are courtesies: what is durable stays so without them.
  if (confirm(false)) static_cast<void>(connection_.end_replication());
  return Done{};
}

}  // namespace pgstrata
