// How far a stream in this process has come, for those who wait for its WAL.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "capture/wal_receiver.h"

namespace pgstrata {

// The receiver's observer. Thread-safe.
class StreamProgress final : public WalReceiverObserver {
 public:
  void wal_status(const WalReceiverStatus& status) override;
  void wal_lost(const WalGap& gap) override;
  // The receiver has returned; whoever waits is told.
  void ended(const Result<void>& outcome);

  // Of a stream that receives nothing, because the source is away or the repository takes nothing.
  using Patience = std::optional<std::chrono::milliseconds>;  // nothing: without an end
  // Waits until WAL comes from the source, so that a slot that was lost is known to be. Errors: cancelled;
  // unavailable (the patience is used up: why it receives nothing; or there is an end to it and the repository
  // takes nothing, before anything was received); what the receiver ended with.
  [[nodiscard]] Result<void> wait_until_connected(const Cancellation& cancellation, Patience patience = {});
  // Waits until everything before `lsn` is durable. Errors: as above.
  [[nodiscard]] Result<void> wait_until_durable(Lsn lsn, const Cancellation& cancellation,
                                                Patience patience = {});
  // How far everything is durable; not valid before the first WAL.
  [[nodiscard]] Lsn durable();
  // The next gap that was not handed out yet; waits at most `span`.
  [[nodiscard]] std::optional<WalGap> next_gap(std::chrono::milliseconds span);

 private:
  template <class Done>
  Result<void> wait(const Cancellation& cancellation, Patience patience, const Done& done);

  std::mutex mutex_;
  std::condition_variable changed_;
  WalReceiverStatus status_;  // guarded by mutex_, as are all below
  std::optional<WalGap> gap_;
  std::optional<Result<void>> outcome_;
  int waiting_ = 0;  // threads that wait for a status
};

}  // namespace pgstrata
