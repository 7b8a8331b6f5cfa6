// The front of a base backup: tar members become files of the snapshot, cut into runs. Internal to this room.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "capture/extent_pipeline.h"
#include "pg/format/backup_manifest.h"
#include "pg/format/tar.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {

class ArchiveIntake final : public TarHandler {
 public:
  // `previous` is the last snapshot's tree, if there is one; it is read on the receiving thread. `record` is
  // that of the snapshot being made; it names the tablespaces before the first archive begins.
  ArchiveIntake(ExtentPipeline& pipeline, FileTreeReader* previous, const SnapshotRecord& record);

  // Members that follow belong to this tablespace; zero is the data directory. Error: failed, when the server
  // named no such tablespace.
  Result<void> begin_archive(Oid tablespace);

  // Error: failed, for a name that no file of a data directory has, or of a tablespace.
  Result<void> begin_member(const TarMember& member) override;
  Result<void> content(ByteView bytes) override;
  Result<void> end_member() override;

  // A file that does not come in an archive.
  Result<void> add_file(const std::string& path, std::uint32_t mode, ByteView content);

  // The manifest against what came: every file there, of that size and checksum, and no other.
  // Errors: check_failed (names the first that differs); failed (the manifest itself is broken); unsupported
  // (it is of a newer server).
  Result<BackupManifest> verify_manifest(std::string_view manifest) const;

  [[nodiscard]] std::uint64_t received_bytes() const { return received_bytes_; }
  [[nodiscard]] std::uint64_t received_files() const { return received_.size(); }
  // The data directory's file of that name, as far as the parser's limit; empty before it has come.
  [[nodiscard]] ByteView backup_label() const { return backup_label_; }

 private:
  struct Received {
    std::uint64_t size_bytes = 0;
    std::uint32_t crc = 0;
  };

  [[nodiscard]] bool is_listed(Oid tablespace) const;
  Result<void> check_path(TarType type) const;
  Result<void> begin_file(FileEntry entry);
  void begin_leaf();
  Result<void> push_run();

  ExtentPipeline& pipeline_;
  FileTreeReader* previous_;
  const SnapshotRecord& record_;
  std::string prefix_;

  // The file being received.
  std::shared_ptr<IncomingFile> file_;
  std::optional<FileEntry> previous_file_;
  std::uint64_t next_extent_ = 0;  // where run_ begins
  Buffer run_;
  std::uint32_t crc_ = 0;
  std::string path_;

  std::unordered_map<std::string, Received> received_;
  std::uint64_t received_bytes_ = 0;
  Bytes backup_label_;
};

}  // namespace pgstrata
