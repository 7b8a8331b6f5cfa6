// Everything that a store may do to a base backup, at each of its steps: no snapshot is seen that is not
// whole, an older one stays whole, and the next run succeeds.
#include <map>

#include <gtest/gtest.h>

#include "base/log.h"
#include "capture/archive_intake.h"
#include "check/verify.h"
#include "codec/digest.h"
#include "restore/restore_test_support.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {
namespace {

// Passed-over packs and leases are told to the log.
class SilentSink : public LogSink {
 public:
  SilentSink() { set_log_sink(this); }
  ~SilentSink() override { set_log_sink(nullptr); }
  SilentSink(const SilentSink&) = delete;
  SilentSink& operator=(const SilentSink&) = delete;
  void write(Severity, std::string_view) override {}
};

// What BASE_BACKUP sends of these files.
Bytes tar_of(const SnapshotFiles& files) {
  Bytes archive;
  for (const auto& [path, content] : files) {
    std::string header(TarParser::block_size_bytes, '\0');
    const auto put = [&header](std::size_t at, const std::string& text) {
      header.replace(at, text.size(), text);
    };
    put(0, path);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", content.size()));
    put(136, "00000000000");
    put(148, std::string(8, ' '));
    put(156, path.ends_with('/') ? "5" : "0");
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    append(archive, as_byte_view(header));
    append(archive, content);
    archive.resize((archive.size() + TarParser::block_size_bytes - 1) / TarParser::block_size_bytes *
                   TarParser::block_size_bytes);
  }
  archive.resize(archive.size() + 2 * TarParser::block_size_bytes);
  return archive;
}

Bytes manifest_of(const SnapshotFiles& files) {
  std::string text = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n";
  const char* separator = "";
  for (const auto& [path, content] : files) {
    if (path.ends_with('/')) continue;
    const std::uint32_t value = crc32c_finish(crc32c_extend(crc32c_begin, content));
    Bytes crc;
    for (const int shift : {0, 8, 16, 24}) crc.push_back(static_cast<std::byte>(value >> shift));
    text += fmt::format(
        "{}{{ \"Path\": \"{}\", \"Size\": {}, \"Last-Modified\": \"2026-11-21 10:00:00 GMT\", "
        "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{}\" }}",
        separator, path, content.size(), to_hex(crc));
    separator = ",\n";
  }
  text +=
      "\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/900028\", \"End-LSN\": \"0/900100\" "
      "}\n],\n";
  text += fmt::format("\"Manifest-Checksum\": \"{}\"}}\n", to_hex(sha256(as_byte_view(text))));
  return to_bytes(text);
}

class BaseBackupCrashTest : public ::testing::Test {
 protected:
  // A repository that holds WAL and an older snapshot.
  BaseBackupCrashTest() {
    const auto space = space_over(template_);
    const auto indexes = must(index_sample(wal_sample(), [] { return std::size_t{segment_bytes}; }));
    const Lsn start = wal_sample().start;
    auto writer = must(WalSegmentWriter::create(space, {1}, start, segment_bytes, clock_, 1));
    EXPECT_TRUE(writer.append(SampleCluster::segment(0)));
    EXPECT_TRUE(writer.commit(
        {SampleCluster::system(), {1}, start, start + segment_bytes, indexes[0].last_end_time, indexes[0]}));
    EXPECT_TRUE(back_up(template_, data_directory_files()));
    newer_["base/5/1259"] = noise(5 * extent_bytes, 11);
    newer_["base/5/16400"] = noise(12 * extent_bytes + 8192, 12);
  }

  static ClusterSpace space_over(ObjectStore& store) { return {store, "app", fixed_key(1)}; }

  // As receive_base_backup and publish_base_backup do it, without a server.
  Result<SnapshotRecord> back_up(ObjectStore& store, const SnapshotFiles& files) {
    const BaseBackupRequest request{.space = space_over(store),
                                    .cluster = {},
                                    .clock = clock_,
                                    .cancellation = cancellation_,
                                    .workers = 1,
                                    .on_progress = {}};
    PGS_TRY(const auto list, list_snapshots(request.space));
    std::set<PackId> known;
    for (const auto& snapshot : list.snapshots) known.insert(snapshot.packs.begin(), snapshot.packs.end());
    PGS_TRY(const auto chunks, ChunkStore::open(request.space, clock_));
    PGS_TRY([[maybe_unused]] const auto adopted, chunks->adopt_unreferenced(known));
    ExtentPipeline pipeline(*chunks, 1);
    ArchiveIntake intake(pipeline, nullptr, false);
    if (auto taken = take_in(intake, files); !taken) {
      pipeline.keep_what_is_stored();
      return std::unexpected(std::move(taken).error());
    }
    PGS_TRY(auto outcome, pipeline.finish());
    UnpublishedBackup backup{record_at(list.snapshots.size()), {}, 0};
    backup.record.tree = outcome.tree;
    backup.record.packs = std::move(outcome.packs);
    backup.record.files = outcome.files;
    backup.record.added_bytes = chunks->added_bytes();
    return publish_base_backup(request, std::move(backup));
  }

  static Result<void> take_in(ArchiveIntake& intake, const SnapshotFiles& files) {
    intake.begin_archive({});
    TarParser parser(intake);
    PGS_CHECK(parser.feed(tar_of(files)));
    PGS_CHECK(parser.finish());
    const Bytes manifest = manifest_of(files);
    PGS_TRY([[maybe_unused]] const auto parsed, intake.verify_manifest(as_text(manifest)));
    return intake.add_file("backup_manifest", 0600, manifest);
  }

  [[nodiscard]] SnapshotRecord record_at(std::size_t number) const {
    SnapshotRecord record;
    record.id = fmt::format("20261121-1000{:02}-0000", number);
    record.started = clock_.now();
    record.system_identifier = SampleCluster::system();
    record.server_version = 150018;
    record.wal_segment_bytes = segment_bytes;
    record.timeline = {1};
    record.extent_bytes = extent_bytes;
    record.start_lsn = sample_records().all.front().start;
    record.consistent_lsn = sample_records().all.at(20).end;
    return record;
  }

  void copy_template(ObjectStore& into) {
    for (const auto& object : must(template_.list_all("")))
      ASSERT_TRUE(into.put(object.name, must(template_.get(object.name))));
  }

  void expect_sound(ObjectStore& store, std::size_t snapshots_min, std::size_t snapshots_max) {
    const auto report = must(verify_cluster(space_over(store), segment_bytes, {}, cancellation_));
    EXPECT_TRUE(report.sound()) << (report.damaged.empty()
                                        ? ""
                                        : report.damaged.front().name + ": " + report.damaged.front().what);
    EXPECT_GE(report.snapshots, snapshots_min);
    EXPECT_LE(report.snapshots, snapshots_max);
  }

  // False when the backup has fewer steps.
  bool run(Fault::Kind kind, ErrorCode code, std::uint64_t step) {
    MemoryStore beneath;
    copy_template(beneath);
    FaultStore faulty(beneath, step);
    faulty.set_fault({.kind = kind, .at_step = step, .step_count = 1, .code = code});
    const auto made = back_up(faulty, newer_);
    const bool struck = !faulty.last_fault().empty();
    SCOPED_TRACE(faulty.last_fault());
    if (kind == Fault::Kind::crash && !faulty.crashed()) faulty.crash();
    expect_sound(beneath, made ? 2 : 1, 2);

    const std::size_t before = must(list_snapshots(space_over(beneath))).snapshots.size();
    const auto again = back_up(beneath, newer_);
    EXPECT_TRUE(again) << again.error().describe();
    expect_sound(beneath, before + 1, before + 1);
    return struck;
  }
  void run_all(Fault::Kind kind, ErrorCode code = ErrorCode::unavailable) {
    std::uint64_t step = 1;
    while (run(kind, code, step) && !HasFailure()) step += fault_step_stride;
    EXPECT_GT(step, 10U) << "the backup had steps to fail at";
  }

  SilentSink silence_;
  HeldClock clock_;
  Cancellation cancellation_;
  MemoryStore template_;
  SnapshotFiles newer_ = data_directory_files();
};

TEST_F(BaseBackupCrashTest, ACrashAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::crash);
}

TEST_F(BaseBackupCrashTest, AFullDiskAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::error, ErrorCode::no_space);
}

TEST_F(BaseBackupCrashTest, ALostAnswerAtAnyStepLeavesWholeSnapshotsOnly) {
  run_all(Fault::Kind::lost_answer);
}

TEST_F(BaseBackupCrashTest, WhatAnUnpublishedRunStoredIsFoundAgain) {
  MemoryStore beneath;
  copy_template(beneath);
  FaultStore faulty(beneath, 1);
  const auto whole = must(back_up(faulty, newer_));
  ASSERT_GT(whole.added_bytes, 12 * extent_bytes);
  // Publishing is the last step of all.
  MemoryStore second;
  copy_template(second);
  FaultStore failing(second, 1);
  failing.set_fault({.kind = Fault::Kind::error, .at_step = faulty.steps(), .code = ErrorCode::no_space});
  const auto unpublished = back_up(failing, newer_);
  ASSERT_FALSE(unpublished);
  EXPECT_EQ(unpublished.error().code(), ErrorCode::no_space);
  expect_sound(second, 1, 1);
  const auto again = must(back_up(second, newer_));
  EXPECT_LT(again.added_bytes, whole.added_bytes / 10);
  expect_sound(second, 2, 2);
}

}  // namespace
}  // namespace pgstrata::testing
