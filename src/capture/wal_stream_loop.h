// Streaming over one connection: receives, flushes when due, confirms what is durable, and notices silence.
// Internal to the receiver.
#pragma once

#include <variant>

#include "capture/wal_flush_policy.h"
#include "capture/wal_marks.h"
#include "capture/wal_reception.h"

namespace pgstrata {

class WalStreamLoop {
 public:
  // Stopped on request, or because `until` is durable.
  struct Done {};
  // The connection takes commands again: time to ask whether commits wait for us. Streaming goes on after it.
  struct Pause {};
  using End = std::variant<Done, Pause, TimelineSwitch, WalLost>;

  // Both are borrowed; the connection streams from the sink's end on.
  WalStreamLoop(WalReception& reception, ReplicationConnection& connection);

  // Whatever ends it, what was received is durable unless the repository failed. Errors: those of the
  // connection; unavailable, when the source has been silent for too long; those of the repository, marked.
  Result<End> run();

 private:
  Result<std::optional<End>> step();
  // Where the policy says so.
  Result<void> rest();
  Result<void> take(const WalData& data);
  void take(const Keepalive& keepalive);
  void heard(Lsn server_end, Timestamp send_time, bool with_data);
  Result<void> flush_if_due();
  Result<void> flush(const std::optional<WalMark>& mark);
  Result<void> confirm_if_due();
  Result<void> confirm(bool ask_for_reply);
  Result<void> check_silence();
  // Bytes that the source is known to have and we have not received.
  [[nodiscard]] std::uint64_t behind() const;
  // And durable.
  [[nodiscard]] bool all_is_here() const;
  [[nodiscard]] bool pause_due() const;
  Result<std::optional<End>> pause();
  Result<End> stop();
  void update_state();
  [[nodiscard]] SteadyTime next_deadline() const;
  [[nodiscard]] SteadyTime probe_at() const;

  WalReception& reception_;
  ReplicationConnection& connection_;
  WalSink& sink_;
  WalFlushPolicy flushing_;
  WalMarks marks_;
  SteadyTime now_;
  const SteadyTime begun_at_;
  const Lsn begun_durable_;
  SteadyTime heard_at_;
  SteadyTime data_at_;
  SteadyTime confirmed_at_;
  SteadyTime probed_at_;
  Lsn confirmed_;
  bool reply_requested_ = false;
  bool spoken_to_ = false;  // by the source, on this connection
};

}  // namespace pgstrata
