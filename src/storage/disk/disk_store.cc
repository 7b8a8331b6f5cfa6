#include "storage/disk/disk_store.h"

#include <cerrno>
#include <limits>
#include <thread>

#include "base/log.h"
#include "codec/digest.h"
#include "storage/disk/disk_journal.h"
#include "storage/disk/disk_listing.h"
#include "storage/disk/disk_writer.h"
#include "storage/disk/network_file_system.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

// Nobody holds the lock over more than a few calls that need no disk; who does is stopped, or its machine is.
constexpr std::chrono::seconds lock_patience{5};
constexpr std::chrono::milliseconds lock_pause{2};

std::string version_of(ByteView content) {
  return to_hex(ByteView(sha256(content)).first(16));
}

}  // namespace

DiskStore::DiskStore(DiskRoot root, const Clock& clock)
    : root_(std::move(root)), clock_(clock), far_(is_on_network_file_system(root_.path())) {}

Result<std::unique_ptr<DiskStore>> DiskStore::open(const std::filesystem::path& path, const Clock& clock) {
  PGS_TRY(DiskRoot root, DiskRoot::open(path));
  const Result<void> cleared = root.remove_stale_temporaries(clock.now());
  if (!cleared) {
    // Whoever only reads may not remove, and loses nothing by it.
    const bool forbidden = cleared.error().code() == ErrorCode::permission;
    log(forbidden ? Severity::debug : Severity::warning,
        fmt::format("unfinished objects stay in {}: {}", path.native(), cleared.error().describe()));
  }
  return std::unique_ptr<DiskStore>(new DiskStore(std::move(root), clock));
}

Result<std::unique_ptr<DiskStore>> DiskStore::open_or_make(const std::filesystem::path& path,
                                                           const Clock& clock) {
  PGS_CHECK(durable_make_directories(path));
  return open(path, clock);
}

Result<void> DiskStore::put(std::string_view name, ByteView content) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(const auto writer, DiskWriter::create(root_, name));
  PGS_CHECK(writer->write(content));
  return writer->commit();
}

Result<std::unique_ptr<ObjectWriter>> DiskStore::create(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(std::unique_ptr<ObjectWriter> writer, DiskWriter::create(root_, name));
  return writer;
}

Result<std::unique_ptr<ObjectJournal>> DiskStore::create_journal(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(std::unique_ptr<ObjectJournal> journal, DiskJournal::create(root_, name));
  return journal;
}

// Whether something that is no folder is in the place of one on the way to an object.
bool DiskStore::way_is_blocked(std::string_view name) const {
  for (std::size_t end = name.find('/'); end != std::string_view::npos; end = name.find('/', end + 1)) {
    const Result<FileInfo> info = stat_file(root_.path_of(name.substr(0, end)));
    if (!info) return false;
    if (info->kind != FileType::directory) return true;
  }
  return false;
}

std::unexpected<Error> DiskStore::not_found_or(Error error, std::string_view name) {
  const std::filesystem::path path = root_.path_of(name);
  const Result<bool> exists = file_exists(path);
  if (exists && !*exists) error = make_error(ErrorCode::not_found, "there is no such path");
  if (!exists && way_is_blocked(name)) error = make_error(ErrorCode::not_found, "there is no such path");
  // Links and sockets do not even open.
  const Result<FileInfo> info = stat_file(path);
  if (info && info->kind != FileType::regular && info->kind != FileType::directory) {
    return no_regular_file(name);
  }
  return std::unexpected(unreadable_or(root_.explain(std::move(error), name), name));
}

Error DiskStore::unreadable_or(Error error, std::string_view name) const {
  std::string_view hint =
      "The disk may give it back later; if it never does, move the object out of the repository.";
  switch (error.error_number()) {
    case EACCES: {
      // Where the way to it is closed, no object is to blame.
      const Result<FileInfo> info = stat_file(root_.path_of(name));
      if (!info || info->kind != FileType::regular) return error;
      hint = "Check the file's owner and permissions: this user may look at it, but not read it.";
      break;
    }
    case EIO:
    case ENODATA:  // a sector that the drive gave up
    case EBADMSG:  // a checksum of the file system
    case EUCLEAN:  // its structure
      break;
    default:
      return error;
  }
  // Of a disk that went away no object is to blame.
  Result<void> present = root_.check_present();
  if (!present) return std::move(present).error();
  return make_error(ErrorCode::damaged, "object \"{}\" cannot be read: {}", name, error.message())
      .with_hint(std::string(hint))
      .with_error_number(error.error_number());
}

std::unexpected<Error> DiskStore::no_regular_file(std::string_view name) const {
  return std::unexpected(
      make_error(ErrorCode::damaged, "object \"{}\" is no regular file in {}", name, describe())
          .with_hint("A symbolic link, fifo, socket or device is in its place: find out who put it there."));
}

Result<DiskStore::OpenObject> DiskStore::open_object(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  // A fifo would keep us waiting for its writer.
  Result<FileDescriptor> file = open_file(root_.path_of(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) return not_found_or(std::move(file).error(), name);
  PGS_TRY(const FileInfo info, stat_file(*file));
  if (info.kind == FileType::directory) {
    return fail(ErrorCode::not_found, "\"{}\" is no object but a folder in {}", name, describe());
  }
  if (info.kind != FileType::regular) return no_regular_file(name);
  return OpenObject{.file = *std::move(file), .info = info};
}

Result<Bytes> DiskStore::get(std::string_view name, std::uint64_t limit_bytes) {
  PGS_TRY(const OpenObject object, open_object(name));
  PGS_CHECK(check_object_size(name, object.info.size_bytes, limit_bytes));
  Bytes content(object.info.size_bytes);
  Result<void> done = read_exactly(object.file, 0, content);
  if (!done) return std::unexpected(unreadable_or(std::move(done).error(), name));
  return content;
}

Result<std::size_t> DiskStore::read_some(std::string_view name, std::uint64_t offset, MutableByteView into) {
  PGS_TRY(const OpenObject object, open_object(name));
  // No file goes that far, and the kernel takes no such offset.
  constexpr auto last_offset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > last_offset - into.size()) return 0U;
  Result<std::size_t> got = read_at_most(object.file, offset, into);
  if (!got) return std::unexpected(unreadable_or(std::move(got).error(), name));
  return got;
}

Result<ObjectInfo> DiskStore::stat(std::string_view name) {
  PGS_TRY(const OpenObject object, open_object(name));
  return ObjectInfo{
      .name = std::string(name), .size_bytes = object.info.size_bytes, .modified = object.info.modified};
}

Result<std::vector<ObjectInfo>> DiskStore::list(std::string_view prefix, std::string_view after,
                                                std::size_t limit) {
  return list_objects(root_, {.prefix = prefix, .after = after, .limit = limit});
}

Result<void> DiskStore::make_names_durable(std::string_view prefix) {
  return root_.sync_names(prefix);
}

Result<void> DiskStore::remove(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  return explained(remove_name(name), name);
}

Result<void> DiskStore::remove_name(std::string_view name) {
  PGS_CHECK(root_.check_present());
  const std::filesystem::path path = root_.path_of(name);
  {
    // Else a replace that has compared already would bring the object back.
    PGS_TRY(const LockFile locked, lock());
    PGS_TRY(const bool exists, file_exists(path));
    if (exists) {
      PGS_TRY(const FileInfo info, stat_file(path));
      if (info.kind == FileType::directory) return {};  // of other objects
      PGS_CHECK(remove_file(path));
    }
  }
  // Also when it was gone: whoever removed it may not have come to this yet.
  const std::filesystem::path folder = path.parent_path();
  PGS_TRY(const bool folder_exists, file_exists(folder));
  if (!folder_exists) return {};
  PGS_TRY(const FileInfo folder_info, stat_file(folder));
  return folder_info.kind == FileType::directory ? sync_directory(folder) : Result<void>();
}

Result<std::string> DiskStore::replace(std::string_view name, const std::optional<std::string>& expected,
                                       ByteView content) {
  PGS_CHECK(check_object_name(name));
  PGS_CHECK(check_replaceable(name, content));
  PGS_CHECK(explained(swap(name, expected, content), name));
  return version_of(content);
}

Result<LockFile> DiskStore::lock() const {
  PGS_CHECK(root_.make_lock_file());
  const SteadyTime deadline = clock_.steady() + lock_patience;
  while (true) {
    Result<LockFile> locked = LockFile::try_acquire(root_.lock_path());
    if (locked || locked.error().code() != ErrorCode::busy) return locked;
    if (clock_.steady() >= deadline) {
      return fail(ErrorCode::unavailable, "\"{}\" was locked by another process for {} seconds",
                  root_.lock_path().native(), lock_patience.count());
    }
    std::this_thread::sleep_for(lock_pause);
  }
}

// Under the lock is only what must be: no disk is waited for.
Result<void> DiskStore::swap(std::string_view name, const std::optional<std::string>& expected,
                             ByteView content) {
  PGS_CHECK(root_.check_present());
  PGS_TRY(Temporary temporary, root_.make_temporary());
  PGS_CHECK(write_all(temporary.file, content));
  PGS_CHECK(sync_file(temporary.file));
  PGS_CHECK(root_.ensure_folder_of(name));
  {
    PGS_TRY(const LockFile locked, lock());
    const Result<Bytes> current = get(name, max_replaceable_bytes);
    if (!current && current.error().code() != ErrorCode::not_found) return std::unexpected(current.error());
    const bool as_expected = current ? expected == version_of(*current) : !expected.has_value();
    if (!as_expected) return fail(ErrorCode::busy, "object \"{}\" has changed meanwhile", name);
    PGS_CHECK(root_.rename_into_place(temporary, name,
                                      current ? DiskRoot::Taken::replace : DiskRoot::Taken::refuse));
  }
  return root_.sync_folder_of(name);
}

Result<VersionedObject> DiskStore::get_versioned(std::string_view name) {
  PGS_TRY(Bytes content, get(name, max_replaceable_bytes));
  std::string version = version_of(content);
  return VersionedObject{.content = std::move(content), .version = std::move(version)};
}

}  // namespace pgstrata
