// Which marks ("nothing was committed up to this time that is not here") to write into WAL tails, and when.
//
// A message proves that the server had flushed nothing more than we have when it was sent, if we have all
// that it is known to have: a keepalive alone tells only how far the server has sent. Commits carry the time
// at which they began to be written, which is before they are flushed, and a walsender may be a moment
// behind; so a mark claims only the time `margin` before the message. Belongs to one thread.
#pragma once

#include <optional>

#include "base/timestamp.h"
#include "catalog/wal_tail.h"

namespace pgstrata {

class WalMarks {
 public:
  static constexpr std::chrono::milliseconds margin{1000};
  // A mark for its own sake costs a sync; one with a flush costs nearly nothing.
  static constexpr std::chrono::milliseconds idle_interval{10'000};
  static constexpr std::chrono::milliseconds flush_interval{1000};

  // A message of the server, sent at that time by its clock: the furthest end of its WAL that is known by
  // now; whether it brought WAL.
  void observe(Lsn server_end, Timestamp send_time, bool with_data, SteadyTime now);

  // The mark to write along with a flush of all up to `received`, if one is due.
  [[nodiscard]] std::optional<WalMark> with_flush(Lsn received, SteadyTime now) const;
  // The mark to write although nothing is to be flushed: the first after the stream fell silent, then one
  // each idle_interval.
  [[nodiscard]] std::optional<WalMark> when_idle(Lsn received, SteadyTime now) const;
  void written(const WalMark& mark, SteadyTime now);

  // When the server should be asked for a message, because its answer will mark the last data as complete.
  // Nothing when that is done.
  [[nodiscard]] std::optional<SteadyTime> wants_message_at() const;

 private:
  // The newest mark that is true and says more than the last one written.
  [[nodiscard]] std::optional<WalMark> candidate(Lsn received) const;
  [[nodiscard]] bool long_since_written(SteadyTime now, std::chrono::milliseconds interval) const {
    return !written_at_ || now - *written_at_ >= interval;
  }

  WalMark observed_;     // by the newest message; its own time
  Timestamp data_time_;  // of the newest message with WAL
  std::optional<SteadyTime> data_at_;
  WalMark written_;
  std::optional<SteadyTime> written_at_;
};

}  // namespace pgstrata
