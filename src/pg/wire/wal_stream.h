// Reads and answers what START_REPLICATION begins. Private to this room.
#pragma once

#include "pg/wire/connection.h"
#include "pg/wire/replication_connection.h"

namespace pgstrata {

class WalStream {
 public:
  static Result<StartOutcome> start(Connection& connection, std::string_view slot, Lsn position,
                                    TimelineId timeline, WalStream& stream);

  Result<WalEvent> receive(SteadyTime deadline);
  Result<bool> drained();
  Result<void> send_status(const StandbyStatus& status);
  Result<void> end();
  // A TimelineSwitch, WalLost or end has been returned: the connection takes commands again.
  [[nodiscard]] bool finished() const { return !streaming_; }

 private:
  // The server has ended the COPY: why.
  Result<WalEvent> read_end();

  Connection* connection_ = nullptr;
  bool streaming_ = false;
  CopyMessage current_;                   // what the last event borrows
  std::optional<CopyStatus> read_ahead_;  // by drained()
  CopyMessage ahead_;
};

// One message of the stream; what it returns borrows `message`. Error: failed, when it breaks the protocol.
[[nodiscard]] Result<WalEvent> parse_wal_message(ByteView message);

}  // namespace pgstrata
