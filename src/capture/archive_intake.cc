#include "capture/archive_intake.h"

#include <algorithm>

#include "capture/source_fault.h"
#include "codec/digest.h"
#include "codec/endian.h"
#include "pg/format/backup_label.h"
#include "snapshot/tablespace_rules.h"

namespace pgstrata {

namespace {
constexpr std::uint32_t permission_bits = 0777;
constexpr std::string_view backup_label_path = "backup_label";
}  // namespace

ArchiveIntake::ArchiveIntake(ExtentPipeline& pipeline, FileTreeReader* previous, const SnapshotRecord& record)
    : pipeline_(pipeline), previous_(previous), record_(record) {}

bool ArchiveIntake::is_listed(Oid tablespace) const {
  return std::ranges::find(record_.tablespaces, tablespace, &TablespaceEntry::oid) !=
         record_.tablespaces.end();
}

Result<void> ArchiveIntake::begin_archive(Oid tablespace) {
  if (tablespace.valid() && !is_listed(tablespace)) {
    return std::unexpected(make_error(ErrorCode::failed,
                                      "the server sent the files of a tablespace {} that it did not name",
                                      tablespace)
                               .with_hint(not_postgresql));
  }
  prefix_ = tablespace.valid() ? fmt::format("pg_tblspc/{}/", tablespace) : std::string();
  return {};
}

// The data directory's archive may name a tablespace's files, too.
Result<void> ArchiveIntake::check_path(TarType type) const {
  if (!safe_path(path_)) {
    return std::unexpected(
        make_error(ErrorCode::failed, "the server sent {:?}, which lies in no data directory", path_)
            .with_hint(not_postgresql));
  }
  const auto path = parse_tablespace_path(path_);
  if (!path || !is_listed(path->oid) || in_version_folder(*path, record_.server_version)) return {};
  if (path->within.empty() && type == TarType::directory) return {};
  return std::unexpected(make_error(ErrorCode::failed,
                                    "the server sent {:?} of tablespace {}, which is not PostgreSQL's there",
                                    path->within, path->oid)
                             .with_hint(not_postgresql));
}

Result<void> ArchiveIntake::begin_member(const TarMember& member) {
  auto name = member.name;
  if (name.starts_with("./")) name.remove_prefix(2);
  path_ = prefix_ + std::string(name);
  const auto mode = member.mode & permission_bits;
  if (member.type == TarType::symbolic_link) return {};  // of a tablespace: the snapshot's record lists them
  const bool itself = member.type == TarType::directory && (name.empty() || name == ".");
  if (itself) return {};
  PGS_CHECK(check_path(member.type));
  if (member.type == TarType::file)
    return begin_file({path_, EntryKind::regular, mode, member.size_bytes, {}});
  pipeline_.add_without_content({path_, EntryKind::directory, mode, 0, {}});
  return {};
}

Result<void> ArchiveIntake::begin_file(FileEntry entry) {
  crc_ = crc32c_begin;
  next_extent_ = 0;
  path_ = entry.path;
  if (entry.size_bytes == 0) {
    received_[path_] = {0, crc32c_finish(crc_)};
    pipeline_.add_without_content(std::move(entry));
    return {};
  }
  previous_file_.reset();
  if (previous_ != nullptr) {
    auto found = previous_->find(entry.path);
    // A last snapshot that cannot be read costs time and space, not the backup.
    if (found && *found && (*found)->kind == EntryKind::regular) previous_file_ = std::move(**found);
  }
  file_ = std::make_shared<IncomingFile>(std::move(entry), record_.data_checksums);
  run_ = pipeline_.take_buffer();
  begin_leaf();
  return {};
}

// Where the next leaf of the page map begins, fetches what the last snapshot has there.
void ArchiveIntake::begin_leaf() {
  const auto extents = previous_file_ ? extent_count(previous_file_->size_bytes) : 0;
  Result<std::vector<ExtentRef>> previous;
  if (next_extent_ < extents) {
    const auto count = std::min<std::uint64_t>(extents - next_extent_, page_map_leaf_extents);
    previous = previous_->extents(*previous_file_, next_extent_, count);
  }
  file_->begin_leaf(next_extent_, previous ? std::move(*previous) : std::vector<ExtentRef>());
}

Result<void> ArchiveIntake::content(ByteView bytes) {
  crc_ = crc32c_extend(crc_, bytes);
  received_bytes_ += bytes.size();
  if (path_ == backup_label_path && backup_label_.size() <= backup_label_limit_bytes)
    append(backup_label_, bytes);
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), run_.room()));
    run_.append(part);
    bytes = bytes.subspan(part.size());
    if (run_.room() == 0) PGS_CHECK(push_run());
  }
  return {};
}

Result<void> ArchiveIntake::push_run() {
  const auto extents = extent_count(run_.size());
  PGS_CHECK(pipeline_.push(file_, next_extent_, std::move(run_)));
  next_extent_ += extents;
  run_ = pipeline_.take_buffer();
  const bool more = next_extent_ * extent_bytes < file_->entry().size_bytes;
  if (more && next_extent_ % page_map_leaf_extents == 0) begin_leaf();
  return {};
}

Result<void> ArchiveIntake::end_member() {
  if (!file_) return {};
  const auto size_bytes = next_extent_ * extent_bytes + run_.size();
  received_[path_] = {size_bytes, crc32c_finish(crc_)};
  if (!run_.empty()) PGS_CHECK(pipeline_.push(file_, next_extent_, std::move(run_)));
  file_.reset();
  return {};
}

Result<void> ArchiveIntake::add_file(const std::string& path, std::uint32_t mode, ByteView bytes) {
  prefix_.clear();
  PGS_CHECK(begin_file({path, EntryKind::regular, mode, bytes.size(), {}}));
  if (bytes.empty()) return {};
  PGS_CHECK(content(bytes));
  return end_member();
}

Result<BackupManifest> ArchiveIntake::verify_manifest(std::string_view manifest) const {
  class Comparison final : public ManifestHandler {
   public:
    explicit Comparison(const std::unordered_map<std::string, Received>& received) : received_(received) {}
    Result<void> file(const ManifestFile& file) override {
      const auto at = received_.find(std::string(file.path));
      if (at == received_.end()) return differ(file.path, "was not sent");
      if (at->second.size_bytes != file.size_bytes) return differ(file.path, "came with another size");
      if (file.algorithm == ManifestChecksum::crc32c &&
          (file.checksum.size() != 4 || load_little<std::uint32_t>(file.checksum.data()) != at->second.crc)) {
        return differ(file.path, "came with other bytes");
      }
      return {};
    }

   private:
    static Result<void> differ(std::string_view path, std::string_view how) {
      return std::unexpected(
          make_error(ErrorCode::check_failed, "{:?} is in the server's backup manifest but {}", path, how)
              .with_hint(run_again));
    }
    const std::unordered_map<std::string, Received>& received_;
  };
  Comparison comparison(received_);
  PGS_TRY(auto parsed,
          of_source(parse_backup_manifest(manifest, comparison).context("verify the backup manifest")));
  if (parsed.files != received_.size()) {
    return std::unexpected(make_error(ErrorCode::check_failed,
                                      "the server sent {} files, its backup manifest lists {}",
                                      received_.size(), parsed.files)
                               .with_hint(run_again));
  }
  return parsed;
}

}  // namespace pgstrata
