// Reads the answer to BASE_BACKUP in both of its forms. Private to this room.
//
//   13, 14   start, tablespaces, then a COPY for each archive (the data directory last), one for the
//            manifest, end
//   from 15  start, tablespaces, then one COPY of messages: 'n' archive, 'm' manifest, 'd' data,
//            'p' progress; end
#pragma once

#include "pg/wire/connection.h"
#include "pg/wire/replication_connection.h"

namespace pgstrata {

class BaseBackupReader {
 public:
  // Sends the command and reads up to the first archive. The connection is borrowed.
  static Result<BaseBackupStart> start(Connection& connection, const BaseBackupOptions& options,
                                       BaseBackupReader& reader);

  Result<BaseBackupEvent> next();
  // BackupEnd was returned.
  [[nodiscard]] bool finished() const { return phase_ == Phase::finished; }

 private:
  enum class Phase { between, archive, manifest, finished };

  Result<BaseBackupStart> read_start();
  // Between two COPYs (13, 14), before the one (15): what the next result begins.
  Result<BaseBackupEvent> begin_next();
  Result<BaseBackupEvent> typed_message();
  Result<BaseBackupEvent> finish(const PGresult* end);

  Connection* connection_ = nullptr;
  bool typed_messages_ = false;
  bool typed_copy_begun_ = false;
  Phase phase_ = Phase::finished;
  std::vector<BackupTablespace> archives_due_;  // 13, 14: in the order in which they come
  std::size_t archives_begun_ = 0;
  CopyMessage message_;
};

// One message as they are from 15 on; the manifest's data look like an archive's. What it returns borrows
// `message`. Error: failed, when it breaks the protocol.
[[nodiscard]] Result<BaseBackupEvent> parse_backup_message(ByteView message, bool in_manifest);

}  // namespace pgstrata
