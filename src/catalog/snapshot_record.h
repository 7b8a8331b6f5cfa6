// A snapshot's root: what it is a picture of, and where its file tree begins. Stored as the record
// `snapshots/ID`; a snapshot exists once that record does, and everything it reaches was durable before.
// Format: docs/formats/catalog.md.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "repo/lease.h"
#include "repo/pack.h"

namespace pgstrata {

// The unit of storage of file content: sixteen pages. docs/decisions/0003-extent-size.md has the
// measurements. Snapshots with another are not read.
inline constexpr std::uint32_t extent_bytes = 16 * page_size;

enum class SnapshotKind { base, rolled };
[[nodiscard]] std::string_view to_string(SnapshotKind kind);

struct TablespaceEntry {
  Oid oid;
  std::string location;  // absolute, on the source
};

// A page whose checksum is wrong on the source and that no full-page image in the WAL repairs.
struct BadPage {
  std::string path;  // within the data directory
  BlockNumber block;
};

// One table as the server that made the snapshot counted it.
struct SnapshotTable {
  std::string database;
  std::string schema;
  std::string table;
  std::optional<std::uint64_t> estimated_rows;  // nothing: it was never analyzed
  std::uint64_t bytes = 0;                      // with its indexes and what is kept out of line
  bool operator==(const SnapshotTable&) const = default;
};

// The recovery that a rolled snapshot is the outcome of.
struct SnapshotRecovery {
  Lsn from;  // where replay began: the start_lsn of the snapshot before
  Lsn to;    // and how far it went
  std::chrono::milliseconds duration{0};
  std::uint32_t server_version = 0;  // of the PostgreSQL that did it, which may be newer than the source's
  bool operator==(const SnapshotRecovery&) const = default;
};

struct SnapshotRecord {
  std::string id;  // "20261121-100305-1f2e": sorts by time, unique within the cluster
  SnapshotKind kind = SnapshotKind::base;
  Timestamp started;
  Timestamp finished;

  SystemIdentifier system_identifier;
  std::uint32_t server_version = 0;
  std::uint32_t wal_segment_bytes = 0;
  bool data_checksums = false;

  TimelineId timeline;
  Lsn start_lsn;              // recovery starts here: the redo point of the backup's checkpoint
  Lsn consistent_lsn;         // and must pass this before the cluster may be opened
  Timestamp consistent_time;  // no earlier moment can be restored from this snapshot

  std::vector<TablespaceEntry> tablespaces;
  ChunkRef tree;  // root node of the file tree (snapshot/file_tree.h)
  std::uint32_t extent_bytes = pgstrata::extent_bytes;
  std::vector<PackId> packs;  // every pack the snapshot reaches, sorted
  std::uint64_t files = 0;
  std::uint64_t total_bytes = 0;   // of the data directory
  std::uint64_t added_bytes = 0;   // what this snapshot added to the repository
  std::vector<BadPage> bad_pages;  // at most max_listed_bad_pages of them
  std::uint64_t bad_page_count = 0;

  // Of rolled snapshots: what the server that made it said. A base snapshot has none of it.
  Timestamp last_commit;              // of the latest transaction that was replayed; not valid when not known
  std::vector<SnapshotTable> tables;  // at most max_listed_tables, the largest first
  std::optional<SnapshotRecovery> recovery;

  // The id of a snapshot that this one is the same as, in other packs; empty: none.
  std::string supersedes;
};

inline constexpr std::size_t max_listed_bad_pages = 1000;
inline constexpr std::size_t max_listed_tables = 1000;

[[nodiscard]] std::string new_snapshot_id(Timestamp started);
// Of one that is the same in other packs: "20261121-100305-1f2e-2", "...-3"; sorts after `id`.
[[nodiscard]] std::string superseding_snapshot_id(std::string_view id);

// Publishes the snapshot; durable when it returns. Of more than max_listed_tables tables the largest are
// kept.
Result<void> put_snapshot(const ClusterSpace& space, const SnapshotRecord& record);
// The same for who holds a lease: `allowed` is asked before, and again before it is tried once more where the repository
// gave no answer. Its record's id is new. Errors: those of `allowed` too.
Result<void> publish_snapshot(const ClusterSpace& space, const SnapshotRecord& record,
                              const PublishingAllowed& allowed);
// Errors: not_found, damaged (names the object), newer_format (also of another extent size).
Result<SnapshotRecord> get_snapshot(const ClusterSpace& space, std::string_view id);

// The ids there are, oldest first, without opening them.
Result<std::vector<std::string>> list_snapshot_ids(const ClusterSpace& space);

// All that can be read, oldest first by their place in the WAL, whatever the clocks said; one that cannot
// goes to `damaged` with its error and is left out.
struct SnapshotList {
  struct Damaged {
    std::string id;
    Error error;
  };
  std::vector<SnapshotRecord> snapshots;
  std::vector<Damaged> damaged;
};
Result<SnapshotList> list_snapshots(const ClusterSpace& space);
// Those of which a pack is gone or empty are damaged, too. Errors: those of the store.
Result<SnapshotList> list_whole_snapshots(const ClusterSpace& space);
// Makes the one out of the other; returns the records of those. Errors: those of the store.
Result<std::vector<SnapshotRecord>> set_aside_incomplete(const ClusterSpace& space, SnapshotList& list);

// Durable when it returns; one that is gone is no error. What it alone needs is garbage then.
Result<void> remove_snapshot(const ClusterSpace& space, std::string_view id);

}  // namespace pgstrata
