#include "app/stream_progress.h"

namespace pgstrata {
namespace {

// How soon a waiting thread sees that its cancellation was requested.
constexpr std::chrono::milliseconds progress_cancellation_poll{100};

bool receives(WalReceiverState state) {
  return state == WalReceiverState::catching_up || state == WalReceiverState::streaming ||
         state == WalReceiverState::idle;
}

}  // namespace

// Comes with every flush: nobody is woken for it who does not wait for it.
void StreamProgress::wal_status(const WalReceiverStatus& status) {
  bool awaited = false;
  {
    const std::lock_guard lock(mutex_);
    status_ = status;
    awaited = waiting_ > 0;
  }
  if (awaited) changed_.notify_all();
}

void StreamProgress::wal_lost(const WalGap& gap) {
  {
    const std::lock_guard lock(mutex_);
    gap_ = gap;
  }
  changed_.notify_all();
}

void StreamProgress::ended(const Result<void>& outcome) {
  {
    const std::lock_guard lock(mutex_);
    outcome_ = outcome;
  }
  changed_.notify_all();
}

template <class Done>
Result<void> StreamProgress::wait(const Cancellation& cancellation, Patience patience, const Done& done) {
  std::unique_lock lock(mutex_);
  auto received_at = std::chrono::steady_clock::now();
  while (!done()) {
    PGS_CHECK(cancellation.check());
    const auto now = std::chrono::steady_clock::now();
    if (receives(status_.state)) received_at = now;
    if (patience && now - received_at > *patience) {
      return fail(ErrorCode::unavailable, "no WAL has come for {} s: {}",
                  std::chrono::duration_cast<std::chrono::seconds>(*patience).count(),
                  status_.problem.empty() ? to_string(status_.state) : status_.problem);
    }
    if (outcome_) {
      if (!outcome_->has_value()) return *outcome_;
      return fail(ErrorCode::failed, "the stream ended before the WAL that is needed was stored");
    }
    ++waiting_;
    changed_.wait_for(lock, progress_cancellation_poll);
    --waiting_;
  }
  return {};
}

Result<void> StreamProgress::wait_until_connected(const Cancellation& cancellation, Patience patience) {
  std::string blocked_by;
  PGS_CHECK(wait(cancellation, patience, [&] {
    if (patience && status_.state == WalReceiverState::blocked) blocked_by = status_.problem;
    return receives(status_.state) || !blocked_by.empty();
  }));
  if (blocked_by.empty()) return {};
  return fail(ErrorCode::unavailable, "the repository takes no WAL: {}", blocked_by);
}

Result<void> StreamProgress::wait_until_durable(Lsn lsn, const Cancellation& cancellation,
                                                Patience patience) {
  return wait(cancellation, patience, [this, lsn] { return status_.durable >= lsn; });
}

std::optional<WalGap> StreamProgress::next_gap(std::chrono::milliseconds span) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, span, [this] { return gap_.has_value() || outcome_.has_value(); });
  return std::exchange(gap_, std::nullopt);
}

Lsn StreamProgress::durable() {
  const std::lock_guard lock(mutex_);
  return status_.durable;
}

}  // namespace pgstrata
