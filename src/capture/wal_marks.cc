#include "capture/wal_marks.h"

namespace pgstrata {

void WalMarks::observe(Lsn server_end, Timestamp send_time, bool with_data, SteadyTime now) {
  observed_ = {server_end, send_time};
  if (!with_data) return;
  data_time_ = send_time;
  data_at_ = now;
}

std::optional<WalMark> WalMarks::candidate(Lsn received) const {
  if (!observed_.lsn.valid() || observed_.lsn > received) return std::nullopt;
  const WalMark mark{observed_.lsn, observed_.time - margin};
  if (mark.time <= written_.time) return std::nullopt;
  return mark;
}

std::optional<WalMark> WalMarks::with_flush(Lsn received, SteadyTime now) const {
  return long_since_written(now, flush_interval) ? candidate(received) : std::nullopt;
}

std::optional<WalMark> WalMarks::when_idle(Lsn received, SteadyTime now) const {
  const auto mark = candidate(received);
  if (!mark) return std::nullopt;
  const bool first_to_cover_data = written_.time < data_time_ && mark->time >= data_time_;
  return first_to_cover_data || long_since_written(now, idle_interval) ? mark : std::nullopt;
}

void WalMarks::written(const WalMark& mark, SteadyTime now) {
  written_ = mark;
  written_at_ = now;
}

std::optional<SteadyTime> WalMarks::wants_message_at() const {
  if (!data_at_ || written_.time >= data_time_) return std::nullopt;
  return *data_at_ + margin + std::chrono::milliseconds(50);
}

}  // namespace pgstrata
