// The WAL receiver: streams a cluster's WAL into the repository for as long as it is let.
//
// A physical slot on the source keeps the WAL that is not here yet; only what is durable in the repository is
// confirmed, so what the source believes is safe is safe (docs/decisions/0002-wal-durability.md). A commit is
// durable here within a second, and before it is acknowledged when the source's synchronous_standby_names
// names `application_name`. The receiver comes back by itself from lost connections, restarts and promotions
// of the source, a full or absent repository, and a lost slot; each is told in the log when it begins, when
// its reason changes, about every 30 s while it lasts, and when it is over.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/cancellation.h"
#include "capture/wal_backoff.h"
#include "catalog/cluster_record.h"
#include "pg/wire/replication_connection.h"
#include "repo/lease.h"

namespace pgstrata {

enum class WalReceiverState {
  connecting,    // the first attempt
  catching_up,   // more than a segment behind
  streaming,     // WAL comes, or came within the last second
  idle,          // everything is here and nothing comes
  reconnecting,  // the source is away
  stalled,       // the source is silent; about to reconnect
  blocked,       // the repository takes nothing
};
[[nodiscard]] std::string_view to_string(WalReceiverState state);

struct WalReceiverStatus {
  WalReceiverState state = WalReceiverState::connecting;
  TimelineId timeline;
  Lsn received;
  Lsn durable;               // everything before it survives any crash
  Lsn server_end;            // of the source's WAL, as far as this connection has told
  Timestamp server_time;     // when that was, by its clock
  bool synchronous = false;  // commits on the source wait for us
  std::string problem;       // while reconnecting, stalled or blocked: why

  [[nodiscard]] std::uint64_t lag_bytes() const { return server_end > durable ? server_end - durable : 0; }
  bool operator==(const WalReceiverStatus&) const = default;
};

// WAL that will never be here: coverage has a gap from `from` to `to`, and what comes after it can be
// restored only with a base backup made after it.
struct WalGap {
  TimelineId timeline;
  Lsn from;
  Lsn to;
  std::string reason;
};

// Called on the receiver's thread; must return soon.
class WalReceiverObserver {
 public:
  virtual ~WalReceiverObserver() = default;
  // Something in it has changed.
  virtual void wal_status(const WalReceiverStatus& status) = 0;
  // A new base backup is due.
  virtual void wal_lost(const WalGap& gap) = 0;
};

struct WalReceiverTimings {
  std::chrono::milliseconds confirm_interval{10'000};  // the source hears from us at least this often
  std::chrono::milliseconds probe_after{10'000};       // of silence, it is asked for a word
  std::chrono::milliseconds stalled_after{25'000};     // of silence, the stream has stalled
  std::chrono::milliseconds answer_limit{15'000};      // of silence after a command, the connection is lost
  std::chrono::milliseconds pause_interval{10'000};    // to ask whether commits wait for us, when all is here
  std::chrono::milliseconds slot_busy_limit{90'000};   // a connection that was cut holds its slot for a while
  std::chrono::milliseconds stop_limit{1'000};         // for making things durable on the way out
  // How long after the last word on a loss it is told again: with another reason (a restart goes through
  // several within a moment), and with the same one.
  std::chrono::milliseconds tell_change_after{5'000};
  std::chrono::milliseconds tell_again_after{30'000};
};

// How far the server that the URL leads to is believed to be the cluster's primary, when it is first reached.
// Whoever has streamed from it follows it wherever it goes.
enum class SourceStanding {
  registered,  // the cluster's own place: the timelines it goes over to are the cluster's
  unproven,    // another place: only while it is on the timeline that was received last
  declared,    // an operator says that it is the primary now, be it on a timeline that was left before
};

// References are borrowed.
struct WalReceiverOptions {
  ClusterSpace space;
  ClusterRecord cluster;
  ConnectionUrl url;
  const Clock& clock;
  const Cancellation& cancellation;
  PublishingAllowed still_allowed;  // the caller holds the lease
  RandomFraction random;
  std::optional<Lsn> until{};  // stop once everything before it is durable
  SourceStanding standing = SourceStanding::registered;
  WalReceiverObserver* observer = nullptr;
  std::string application_name = "pgstrata";
  WalReceiverTimings timings{};
};

// Belongs to one thread.
class WalReceiver {
 public:
  explicit WalReceiver(WalReceiverOptions options);
  ~WalReceiver();
  WalReceiver(const WalReceiver&) = delete;
  WalReceiver& operator=(const WalReceiver&) = delete;

  // Returns when `until` is durable or the cancellation is requested: what was received is then durable and
  // confirmed, within two seconds unless the repository is stuck. Errors are those that time does not cure:
  // failed (the URL now leads to another cluster, or to a server of unproven standing on another timeline),
  // busy (the lease was taken over, or somebody else holds the slot), already_exists (another history of a
  // timeline is stored); and from the first attempt also whatever connecting says (permission, unsupported,
  // usage).
  Result<void> run();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgstrata
