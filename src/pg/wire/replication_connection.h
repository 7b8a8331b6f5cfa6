// PostgreSQL's replication protocol, versions 13 to 18: slots, base backup, WAL streaming.
//
// Needs the REPLICATION attribute and nothing else. A connection does one thing at a time: commands, or one
// base backup (start_base_backup, then events to BackupEnd), or streaming (start_replication to
// end_replication, a TimelineSwitch or WalLost). It belongs to one thread.
//
// The cancellation is borrowed and must outlive the connection: every wait ends with ErrorCode::cancelled
// once it is requested. send_status and end_replication still work then, so that a receiver can stop cleanly.
// After any other error but the ones a call names, the connection is of no further use.
//
// Errors of every call: unavailable (connection lost, server starting, stopping or gone: try again later),
// cancelled, permission, failed. Each that the source's administrator can cure has a hint that says what to
// change.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/cancellation.h"
#include "base/result.h"
#include "base/timestamp.h"
#include "base/types.h"
#include "pg/wire/base_backup_source.h"
#include "pg/wire/connect_options.h"
#include "pg/wire/connection_url.h"

namespace pgstrata {

inline constexpr int oldest_supported_major = 13;
inline constexpr int newest_supported_major = 18;

struct TimelineHistoryFile {
  std::string file_name;  // "00000002.history"
  Bytes content;
};

struct SlotState {
  Lsn restart_lsn;      // invalid when the slot reserves nothing, or has been invalidated
  TimelineId timeline;  // of restart_lsn
};

struct WalData {
  Lsn start;
  Lsn server_end;       // the end of the server's WAL when it sent this
  Timestamp send_time;  // the server's clock
  ByteView bytes;       // valid until the next receive; may cross pages, never a segment's end
};
struct Keepalive {
  Lsn server_end;
  Timestamp send_time;
  bool reply_requested = false;  // answer with send_status at once
};
// The timeline ended: `next` begins at `switch_point`. The connection takes commands again.
struct TimelineSwitch {
  TimelineId next;
  Lsn switch_point;
};
// What was asked for can never be had from this server under this slot: a new slot and a new base backup are
// due. The connection takes commands again.
struct WalLost {
  enum class Reason {
    slot_missing,      // nobody keeps the WAL for us
    slot_invalidated,  // the server gave the slot up (max_slot_wal_keep_size, idle_replication_slot_timeout)
    segment_removed,   // the WAL at that position is gone
    diverged,          // the position is not in the server's history: it forked before it
  };
  Reason reason{};
  std::string message;  // the server's words
};
// Nothing came up to the deadline.
struct ReceiveTimeout {};

using WalEvent = std::variant<WalData, Keepalive, TimelineSwitch, WalLost, ReceiveTimeout>;

struct Streaming {};
using StartOutcome = std::variant<Streaming, TimelineSwitch, WalLost>;

[[nodiscard]] std::string_view to_string(WalLost::Reason reason);

struct StandbyStatus {
  Lsn written;
  Lsn flushed;  // durable: the server may forget WAL before it and acknowledge synchronous commits up to it
  Lsn applied;  // invalid for a receiver that applies nothing
  bool reply_requested = false;
};

class ReplicationConnection final : public BaseBackupSource {
 public:
  // Connects, authenticates and checks the version. The wait for each address is bounded by the URL's
  // connect_timeout (default 10 s); the next one is tried when there is nobody at it. A silent peer is
  // noticed within 15 s (keepalives and tcp_user_timeout, unless the URL sets them). Errors: unavailable,
  // permission (password, pg_hba.conf, role), unsupported (version, not PostgreSQL, a pooler).
  [[nodiscard]] static Result<ReplicationConnection> connect(const ConnectionUrl& url,
                                                             const ConnectOptions& options,
                                                             const Cancellation& cancellation);
  ReplicationConnection(ReplicationConnection&&) noexcept;
  ReplicationConnection& operator=(ReplicationConnection&&) noexcept;
  ~ReplicationConnection() override;

  [[nodiscard]] int server_version() const override;
  [[nodiscard]] int server_major() const { return server_version() / 10000; }

  Result<std::string> show(std::string_view parameter) override;
  // Whether the server recovers: a standby, or one that is being restored. It may open at any moment. On 13 a
  // server whose default_transaction_read_only is on counts as one: it tells no difference. Errors: as above.
  Result<bool> in_recovery();
  Result<SystemIdentity> identify_system() override;
  // Error: not_found; timeline 1 never has one.
  Result<TimelineHistoryFile> timeline_history(TimelineId timeline);

  // A permanent physical slot that keeps WAL from now on. Errors: already_exists, usage (a bad name),
  // unavailable (max_replication_slots reached), unsupported (wal_level minimal).
  Result<void> create_physical_slot(std::string_view name);
  // Errors: not_found, busy (in use).
  Result<void> drop_slot(std::string_view name);
  // Nothing when there is no such slot. Error: unsupported before PostgreSQL 15.
  Result<std::optional<SlotState>> read_slot(std::string_view name);

  Result<BaseBackupStart> start_base_backup(const BaseBackupOptions& options) override;
  Result<BaseBackupEvent> next_base_backup_event() override;

  // `slot` empty: without a slot. What is wrong with the position may show only when receiving: WalLost, or
  // unavailable when the server's WAL does not reach it (yet). Error: busy when another connection uses the
  // slot, which ends when that does.
  Result<StartOutcome> start_replication(std::string_view slot, Lsn start, TimelineId timeline);
  // The next message, or ReceiveTimeout. At most a few messages are read ahead, whatever the server sends.
  Result<WalEvent> receive(SteadyTime deadline);
  // True when no message is at hand: neither read ahead nor waiting in the socket. The moment to flush a
  // batch.
  Result<bool> drained();
  Result<void> send_status(const StandbyStatus& status);
  // Ends streaming so that the server releases the slot; what is still under way is dropped. Waits at most 1
  // s: part of a clean stop.
  Result<void> end_replication();

 private:
  class Impl;
  explicit ReplicationConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgstrata
