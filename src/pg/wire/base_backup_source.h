// What a base backup is made from: a server that says who it is, then sends archives and a manifest as
// events. ReplicationConnection is the one of production; tests replay events. Belongs to one thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

struct SystemIdentity {
  SystemIdentifier system;
  TimelineId timeline;
  Lsn flush_position;  // on a standby: the end of what it has replayed or received
};

struct BaseBackupOptions {
  std::string label = "pgstrata";
  bool fast_checkpoint = true;  // else spread, which can take checkpoint_timeout
};

struct BackupTablespace {
  Oid oid;               // zero for the data directory itself
  std::string location;  // absolute path on the server; empty for the data directory
  std::uint64_t size_estimate_bytes = 0;
};

struct BaseBackupStart {
  Lsn start_lsn;
  TimelineId timeline;
  std::vector<BackupTablespace> tablespaces;  // the data directory included
};

// A tar archive begins: of a tablespace, or of the data directory. In 13 and 14 the data directory comes
// last, and archives end without tar's two zero blocks; from 15 on they end with them. Readers take both.
struct ArchiveStart {
  Oid tablespace;        // zero for the data directory
  std::string location;  // as in BackupTablespace
};
struct ArchiveData {
  ByteView bytes;  // valid until the next call; cut anywhere
};
// The backup manifest begins; it comes after the archives.
struct ManifestStart {};
struct ManifestData {
  ByteView bytes;  // valid until the next call; cut anywhere
};
// Bytes the server has read so far, over all archives. From 15 on only.
struct BackupProgress {
  std::uint64_t bytes = 0;
};
// The backup is whole; WAL up to `stop_lsn` makes it consistent. The connection takes commands again.
struct BackupEnd {
  Lsn stop_lsn;
  TimelineId timeline;
};
using BaseBackupEvent =
    std::variant<ArchiveStart, ArchiveData, ManifestStart, ManifestData, BackupProgress, BackupEnd>;

class BaseBackupSource {
 public:
  virtual ~BaseBackupSource() = default;

  // 150018 for 15.18.
  [[nodiscard]] virtual int server_version() const = 0;
  // A server setting as SHOW prints it ("16MB"). Error: not_found.
  virtual Result<std::string> show(std::string_view parameter) = 0;
  virtual Result<SystemIdentity> identify_system() = 0;

  // Returns after the starting checkpoint. The manifest has CRC32C checksums; the server checks no page
  // checksums; tablespaces come as archives of their own and as links in the main one.
  virtual Result<BaseBackupStart> start_base_backup(const BaseBackupOptions& options) = 0;
  // Call until BackupEnd.
  virtual Result<BaseBackupEvent> next_base_backup_event() = 0;
};

}  // namespace pgstrata
