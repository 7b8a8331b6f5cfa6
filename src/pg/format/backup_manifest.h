// backup_manifest: every file of a base backup, its size and checksum.
//
// Source: src/backend/backup/backup_manifest.c and src/common/parse_manifest.c. Version 1 is PostgreSQL 13 to
// 16, version 2 (17 on) adds the system identifier. JSON whose last line carries the SHA-256 of all lines
// before it. A path that is not UTF-8 comes as "Encoded-Path", in hexadecimal.
//
// The text is walked once, each file handed on as it is met: beyond the text itself, memory does not grow
// with the number of files. Pure, thread-safe.
#pragma once

#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace pgstrata {

enum class ManifestChecksum : std::uint8_t { none, crc32c, sha224, sha256, sha384, sha512 };
// As the server spells it: "CRC32C".
[[nodiscard]] std::string_view to_string(ManifestChecksum algorithm);

// Views are good until file() returns.
struct ManifestFile {
  std::string_view path;  // bytes as they are on disk
  std::uint64_t size_bytes = 0;
  ManifestChecksum algorithm = ManifestChecksum::none;
  // As the server stores it: for CRC32C the four bytes of the value, lowest first.
  ByteView checksum;
};

// WAL needed to make the backup consistent.
struct ManifestWalRange {
  TimelineId timeline;
  Lsn start;
  Lsn end;
  bool operator==(const ManifestWalRange&) const = default;
};

struct BackupManifest {
  int version = 0;
  SystemIdentifier system_identifier;  // from version 2 on
  std::vector<ManifestWalRange> wal_ranges;
  std::uint64_t files = 0;
};

class ManifestHandler {
 public:
  virtual ~ManifestHandler() = default;
  // An error stops the parser and is returned by it.
  virtual Result<void> file(const ManifestFile& file) = 0;
};

inline constexpr std::size_t manifest_wal_ranges_limit = 100'000;

// The manifest's own checksum is verified first: the handler sees nothing of a manifest whose bytes are
// wrong. Errors: damaged, when the checksum is wrong or it does not parse; newer_format, for a version after
// 2; whatever the handler says.
[[nodiscard]] Result<BackupManifest> parse_backup_manifest(std::string_view text, ManifestHandler& handler);

}  // namespace pgstrata
