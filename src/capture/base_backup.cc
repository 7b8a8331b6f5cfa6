#include "capture/base_backup.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "capture/archive_intake.h"
#include "capture/backup_wal.h"
#include "capture/source_fault.h"
#include "pg/format/backup_label.h"
#include "snapshot/tablespace_rules.h"

namespace pgstrata {

namespace {

constexpr auto progress_interval = std::chrono::milliseconds(100);
constexpr std::string_view manifest_path = "backup_manifest";
constexpr std::uint32_t manifest_mode = 0600;
// A manifest has one line for each file that was sent: some 160 bytes, below 512 with the longest path in
// hexadecimal. The rest holds the WAL ranges. So 20 million files may have the 3 GB that they need, and a
// server that sends a few cannot fill the memory.
constexpr std::uint64_t manifest_bytes_per_file_max = 512;
constexpr std::uint64_t manifest_rest_bytes_max = 1U << 20;

// The snapshots that are there: what the new one is compared with, and which packs are spoken for.
struct Known {
  std::set<PackId> packs;
  std::optional<FileTreeReader> newest;
};

Result<Known> load_known(const BaseBackupRequest& request) {
  PGS_TRY(const auto list, list_snapshots(request.space));
  Known known;
  for (const auto& snapshot : list.snapshots)
    known.packs.insert(snapshot.packs.begin(), snapshot.packs.end());
  if (!list.snapshots.empty()) known.newest.emplace(request.space, list.snapshots.back().tree);
  return known;
}

// Learns the nodes of the newest snapshot, so that those that do not change are found again.
void learn_nodes(FileTreeReader& tree, ChunkStore& store) {
  const auto learned = tree.for_each_node([&](const NodeRef& node) -> Result<void> {
    store.learn(node.tag, node.chunk);
    return {};
  });
  if (!learned) log_warning("the last snapshot's file tree cannot be read: {}", learned.error().describe());
}

Result<void> check_source(BaseBackupSource& source, const ClusterRecord& cluster) {
  PGS_TRY(const auto identity, source.identify_system());
  if (identity.system == cluster.system_identifier) return {};
  return std::unexpected(
      make_error(ErrorCode::failed,
                 "the source is another cluster than the one that was added: its system identifier "
                 "is {}, registered is {}",
                 identity.system, cluster.system_identifier)
          .with_hint(
              "Was it made anew with initdb, upgraded, or is the URL wrong? To protect the new one, add it "
              "under another name; what is stored stays restorable."));
}

// One run of the protocol, from the first event to the last.
class Receiver {
 public:
  Receiver(BaseBackupSource& source, const BaseBackupRequest& request, ExtentPipeline& pipeline,
           FileTreeReader* previous, const ChunkStore& store, SnapshotRecord& record)
      : source_(source),
        request_(request),
        pipeline_(pipeline),
        store_(store),
        record_(record),
        intake_(pipeline, previous, record) {}

  Result<void> run() {
    enter(BaseBackupPhase::checkpoint);
    PGS_TRY(const auto start, source_.start_base_backup({.label = "pgstrata " + record_.id}));
    record_.start_lsn = start.start_lsn;
    record_.timeline = start.timeline;
    for (const auto& tablespace : start.tablespaces) {
      progress_.estimated_bytes += tablespace.size_estimate_bytes;
      if (!tablespace.oid.valid()) continue;
      PGS_CHECK(check_location(tablespace));
      record_.tablespaces.push_back({tablespace.oid, tablespace.location});
    }
    enter(BaseBackupPhase::receiving);
    for (bool more = true; more;) {
      PGS_TRY(auto event, source_.next_base_backup_event());
      PGS_TRY(more, handle(event));
      PGS_CHECK(request_.cancellation.check());
      report();
    }
    return {};
  }

 private:
  void enter(BaseBackupPhase phase) const {
    if (request_.on_phase) request_.on_phase(phase);
  }

  // Restores go there.
  static Result<void> check_location(const BackupTablespace& tablespace) {
    const auto fault = fault_of_location(tablespace.location);
    if (!fault) return {};
    return std::unexpected(
        make_error(ErrorCode::failed, "the server has tablespace {} at {:?}, which {}", tablespace.oid,
                   tablespace.location, *fault)
            .with_hint(
                "Nothing was published. CREATE TABLESPACE makes none like it: look at its link in pg_tblspc "
                "on "
                "the source, and, when that is another, at what is between the source and here. Those made "
                "with allow_in_place_tablespaces cannot be backed up."));
  }

  // False after the last event.
  Result<bool> handle(const BaseBackupEvent& event) {
    if (const auto* data = std::get_if<ArchiveData>(&event)) {
      if (!archive_) {
        return std::unexpected(
            make_error(ErrorCode::failed, "the server sent content before it named an archive")
                .with_hint(not_postgresql));
      }
      PGS_CHECK(of_archive(archive_->feed(data->bytes)));
    } else if (const auto* data_of_manifest = std::get_if<ManifestData>(&event)) {
      PGS_CHECK(check_manifest_size(data_of_manifest->bytes.size()));
      append(manifest_, data_of_manifest->bytes);
    } else if (const auto* archive = std::get_if<ArchiveStart>(&event)) {
      PGS_CHECK(end_archive());
      PGS_CHECK(intake_.begin_archive(archive->tablespace));
      archive_.emplace(intake_);
    } else if (const auto* end = std::get_if<BackupEnd>(&event)) {
      PGS_CHECK(end_archive());
      record_.consistent_lsn = end->stop_lsn;
      record_.total_bytes = intake_.received_bytes();
      PGS_TRY([[maybe_unused]] const auto manifest, intake_.verify_manifest(as_text(manifest_)));
      PGS_CHECK(check_positions());
      PGS_CHECK(intake_.add_file(std::string(manifest_path), manifest_mode, manifest_));
      return false;
    }
    return true;
  }

  Result<void> end_archive() {
    if (archive_) PGS_CHECK(of_archive(archive_->finish()));
    archive_.reset();
    return {};
  }

  // What the repository said while it took the content is its own.
  Result<void> of_archive(Result<void> read) const {
    if (read || pipeline_.failed()) return read;
    return of_source(std::move(read).context("read the backup's tar stream"));
  }

  Result<void> check_manifest_size(std::size_t more_bytes) const {
    const auto limit = manifest_rest_bytes_max + manifest_bytes_per_file_max * intake_.received_files();
    if (manifest_.size() + more_bytes <= limit) return {};
    return std::unexpected(make_error(ErrorCode::failed,
                                      "the server's backup manifest is longer than {} files can make it",
                                      intake_.received_files())
                               .with_hint(not_postgresql));
  }

  // Coverage believes the server's answer, recovery the label.
  Result<void> check_positions() const {
    PGS_TRY(const auto label, of_source(parse_backup_label(as_text(intake_.backup_label()))));
    const auto differ = [](std::string what) {
      return std::unexpected(Error(ErrorCode::check_failed, std::move(what)).with_hint(not_postgresql));
    };
    if (label.start != record_.start_lsn || label.timeline != record_.timeline) {
      return differ(fmt::format(
          "the server says that the backup starts at {} on timeline {}, its backup_label at {} on "
          "timeline {}",
          record_.start_lsn, record_.timeline, label.start, label.timeline));
    }
    if (record_.consistent_lsn < record_.start_lsn) {
      return differ(fmt::format("the server says that the backup starts at {} and is consistent at {}",
                                record_.start_lsn, record_.consistent_lsn));
    }
    return {};
  }

  void report() {
    if (!request_.on_progress) return;
    const auto now = request_.clock.steady();
    if (now - reported_ < progress_interval) return;
    reported_ = now;
    progress_.received_bytes = intake_.received_bytes();
    progress_.stored_bytes = store_.added_bytes();
    request_.on_progress(progress_);
  }

  BaseBackupSource& source_;
  const BaseBackupRequest& request_;
  ExtentPipeline& pipeline_;
  const ChunkStore& store_;
  SnapshotRecord& record_;
  ArchiveIntake intake_;
  std::optional<TarParser> archive_;
  Bytes manifest_;
  BaseBackupProgress progress_;
  SteadyTime reported_{};
};

// Version and checksums are the source's of today: it may have been updated, checksums been switched, since
// it was added.
Result<SnapshotRecord> begin_record(BaseBackupSource& source, const BaseBackupRequest& request) {
  PGS_TRY(const auto checksums, source.show("data_checksums"));
  SnapshotRecord record;
  record.kind = SnapshotKind::base;
  record.started = request.clock.now();
  record.id = new_snapshot_id(record.started);
  record.system_identifier = request.cluster.system_identifier;
  record.server_version = static_cast<std::uint32_t>(source.server_version());
  record.wal_segment_bytes = request.cluster.wal_segment_bytes;
  record.data_checksums = checksums == "on";
  record.extent_bytes = extent_bytes;
  return record;
}

}  // namespace

Result<UnpublishedBackup> receive_base_backup(BaseBackupSource& source, const BaseBackupRequest& request) {
  PGS_CHECK(check_source(source, request.cluster));
  PGS_TRY(auto known, load_known(request));
  PGS_TRY(const auto store, ChunkStore::open(request.space, request.clock));
  PGS_TRY(const auto adopted, store->adopt_unreferenced(known.packs));
  if (adopted > 0)
    log_info("found {} packs of an interrupted run: what they hold is not stored again", adopted);
  auto* previous = known.newest ? &*known.newest : nullptr;
  if (previous != nullptr) learn_nodes(*previous, *store);

  const unsigned workers =
      request.workers != 0 ? request.workers : std::max(1U, std::thread::hardware_concurrency());
  PGS_TRY(auto record, begin_record(source, request));
  UnpublishedBackup backup{std::move(record), {}, 0};
  ExtentPipeline pipeline(*store, workers);
  Receiver receiver(source, request, pipeline, previous, *store, backup.record);
  if (auto received = receiver.run(); !received) {
    pipeline.keep_what_is_stored();
    return std::unexpected(std::move(received).error());
  }
  PGS_TRY(auto outcome, pipeline.finish());
  backup.record.tree = outcome.tree;
  backup.record.packs = std::move(outcome.packs);
  backup.record.files = outcome.files;
  backup.record.added_bytes = store->added_bytes();
  backup.suspects = std::move(outcome.suspects);
  backup.suspects_not_listed = outcome.suspects_not_listed;
  return backup;
}

Result<SnapshotRecord> publish_base_backup(const BaseBackupRequest& request, UnpublishedBackup backup) {
  auto& record = backup.record;
  PGS_TRY(const auto wal, examine_backup_wal(request.space, record, backup.suspects, request.cancellation));
  record.consistent_time = wal.consistent_time;
  record.bad_page_count = wal.bad_pages.size() + backup.suspects_not_listed;
  record.bad_pages = wal.bad_pages;
  if (record.bad_pages.size() > max_listed_bad_pages) record.bad_pages.resize(max_listed_bad_pages);
  record.finished = request.clock.now();
  PGS_CHECK(publish_snapshot(request.space, record, request.may_publish));
  return std::move(record);
}

}  // namespace pgstrata
