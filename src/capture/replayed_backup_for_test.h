// A base backup without a server: what BASE_BACKUP would send of files that a test makes up. For tests only.
#pragma once

#include <deque>

#include "capture/base_backup.h"
#include "codec/digest.h"
#include "pg/format/tar.h"
#include "restore/restore_test_support.h"

namespace pgstrata::testing {

inline std::string tar_header(const std::string& path, std::uint64_t size_bytes) {
  std::string header(TarParser::block_size_bytes, '\0');
  const auto put = [&header](std::size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  put(0, path);
  put(100, "0000600");
  put(108, "0000000");
  put(116, "0000000");
  if (size_bytes >> 33U == 0) {
    put(124, fmt::format("{:011o}", size_bytes));
  } else {  // in base 256
    header[124] = static_cast<char>(0x80);
    for (std::size_t i = 0; i < 8; ++i) header[135 - i] = static_cast<char>(size_bytes >> (8 * i));
  }
  put(136, "00000000000");
  put(148, std::string(8, ' '));
  put(156, path.ends_with('/') ? "5" : "0");
  put(257, std::string("ustar\0"
                       "00",
                       8));
  unsigned sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return header;
}

// What BASE_BACKUP sends of these files.
inline Bytes tar_of(const SnapshotFiles& files) {
  Bytes archive;
  for (const auto& [path, content] : files) {
    append(archive, as_byte_view(tar_header(path, content.size())));
    append(archive, content);
    archive.resize((archive.size() + TarParser::block_size_bytes - 1) / TarParser::block_size_bytes *
                   TarParser::block_size_bytes);
  }
  archive.resize(archive.size() + 2 * TarParser::block_size_bytes);
  return archive;
}

inline Bytes manifest_of(const SnapshotFiles& files) {
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

// The server of SampleCluster, version 15 without page checksums.
class ReplayedBackup final : public BaseBackupSource {
 public:
  explicit ReplayedBackup(const SnapshotFiles& files) : sent(files) {
    sent["backup_label"] = label_of(start_lsn);
    listed = sent;
  }

  static Bytes label_of(Lsn start) {
    return to_bytes(
        fmt::format("START WAL LOCATION: {} (file 000000010000000000000009)\nCHECKPOINT LOCATION: {}\n"
                    "START TIMELINE: 1\n",
                    start, start));
  }

  [[nodiscard]] int server_version() const override { return 150018; }
  Result<std::string> show(std::string_view) override { return "off"; }
  Result<SystemIdentity> identify_system() override {
    return SystemIdentity{SampleCluster::system(), TimelineId{1}, {}};
  }
  Result<BaseBackupStart> start_base_backup(const BaseBackupOptions&) override {
    archive_ = archive ? *archive : tar_of(sent);
    manifest_ = manifest ? *manifest : manifest_of(listed);
    tablespace_archive_ = tar_of(sent_of_tablespace);
    if (archive_of_tablespace.valid()) send(ArchiveStart{archive_of_tablespace, {}}, tablespace_archive_);
    send(ArchiveStart{}, archive_);
    events_.emplace_back(ManifestStart{});
    events_.emplace_back(ManifestData{manifest_});
    events_.emplace_back(BackupEnd{stop_lsn, TimelineId{1}});
    return BaseBackupStart{start_lsn, TimelineId{1}, tablespaces};
  }
  Result<BaseBackupEvent> next_base_backup_event() override {
    auto event = events_.front();
    events_.pop_front();
    return event;
  }

  // What comes and what the manifest says; a test makes them differ before the backup begins.
  SnapshotFiles sent;
  SnapshotFiles listed;
  Oid archive_of_tablespace;  // an archive of its own when it is set
  SnapshotFiles sent_of_tablespace;
  std::vector<BackupTablespace> tablespaces{{}};
  Lsn start_lsn = sample_records().all.front().start;
  Lsn stop_lsn = sample_records().all.at(20).end;
  // Instead of what follows from `sent` and `listed`.
  std::optional<Bytes> archive;
  std::optional<Bytes> manifest;

 private:
  void send(ArchiveStart start, ByteView content) {
    events_.emplace_back(std::move(start));
    while (!content.empty()) {
      constexpr std::size_t piece_bytes = 100'000;  // cut anywhere
      const auto piece = content.first(std::min(content.size(), piece_bytes));
      events_.emplace_back(ArchiveData{piece});
      content = content.subspan(piece.size());
    }
  }

  Bytes archive_;
  Bytes tablespace_archive_;
  Bytes manifest_;
  std::deque<BaseBackupEvent> events_;
};

// The WAL that makes it consistent.
inline void seal_wal_of_replayed_backup(const ClusterSpace& space, const Clock& clock) {
  const auto indexes = must(index_sample(wal_sample(), [] { return std::size_t{segment_bytes}; }));
  const Lsn start = wal_sample().start;
  auto writer = must(WalSegmentWriter::create(space, {1}, start, segment_bytes, clock, 1));
  EXPECT_TRUE(writer.append(SampleCluster::segment(0)));
  EXPECT_TRUE(writer.commit(
      {SampleCluster::system(), {1}, start, start + segment_bytes, indexes[0].last_end_time, indexes[0]}));
}

inline Result<SnapshotRecord> replay_backup(ReplayedBackup& source, const ClusterSpace& space,
                                            const Clock& clock) {
  const Cancellation cancellation;
  ClusterRecord cluster;
  cluster.system_identifier = SampleCluster::system();
  cluster.wal_segment_bytes = segment_bytes;
  const BaseBackupRequest request{.space = space,
                                  .cluster = cluster,
                                  .clock = clock,
                                  .cancellation = cancellation,
                                  .workers = 1,
                                  .on_progress = {}};
  PGS_TRY(auto backup, receive_base_backup(source, request));
  return publish_base_backup(request, std::move(backup));
}

// Backups of a server that sends what a test makes of `data_directory_files`.
class ReplayedBackupTest : public ::testing::Test {
 protected:
  ReplayedBackupTest() { seal_wal_of_replayed_backup(space_, clock_); }

  using Change = std::function<void(ReplayedBackup&)>;
  Result<SnapshotRecord> back_up(const Change& change) {
    ReplayedBackup source(data_directory_files());
    change(source);
    return replay_backup(source, space_, clock_);
  }

  HeldClock clock_;
  MemoryStore store_;
  ClusterSpace space_{store_, "app", fixed_key(1)};
};

}  // namespace pgstrata::testing
