#include "storage/disk/disk_root.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "codec/digest.h"
#include "storage/object_store.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

// After this long without a write, a temporary is taken for abandoned when its process is on another machine
// or in another container: it may well be alive, with a segment of WAL that an idle database takes weeks to
// fill. One that loses its temporary all the same fails when it commits, and writes the object again.
constexpr auto abandoned_elsewhere_after = std::chrono::hours(24 * 60);

// "12.1234.5678.…": a number of this process's own, then the process.
std::string temporary_name(const ProcessIdentity& process) {
  static std::atomic<std::uint64_t> last{0};
  return fmt::format("{}.{}", ++last, to_string(process));
}

// The process of a name of exactly the form above; nothing for any other, which is not ours to remove.
std::optional<ProcessIdentity> process_of(std::string_view name) {
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!std::ranges::all_of(name.substr(0, dot), is_digit)) return std::nullopt;
  const std::string_view rest = name.substr(dot + 1);
  const Result<ProcessIdentity> process = parse_process_identity(rest);
  if (!process || to_string(*process) != rest) return std::nullopt;
  return *process;
}

// The names and contents of the files right in it, those of a repository its descriptor. Empty where there is
// none, and where they cannot be told.
std::string marks_of(const FileDescriptor& folder) {
  constexpr std::uint64_t mark_bytes_max = 64U << 10;
  const auto entries = list_directory(folder);
  if (!entries) return {};
  std::string marks;
  for (const auto& entry : *entries) {
    if (entry.kind != FileType::regular || entry.name.starts_with('.')) continue;
    const auto file = open_file_in(folder, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file) return {};
    const auto info = stat_file(*file);
    if (!info || info->size_bytes > mark_bytes_max) return {};
    Bytes content(static_cast<std::size_t>(info->size_bytes));
    if (!read_exactly(*file, 0, content)) return {};
    marks += fmt::format("{} {}\n", entry.name, to_hex(sha256(content)));
  }
  return marks;
}

bool abandoned(const ProcessIdentity& process, Timestamp modified, Timestamp now) {
  switch (process.liveness()) {
    case Liveness::alive:
      return false;
    case Liveness::dead:
      return true;
    case Liveness::unknown:
      break;
  }
  return now - modified > abandoned_elsewhere_after;
}

}  // namespace

Temporary::~Temporary() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

Temporary::Temporary(Temporary&& other) noexcept
    : file(std::move(other.file)), path_(std::exchange(other.path_, {})) {}

Result<DiskRoot> DiskRoot::open(const std::filesystem::path& path) {
  std::error_code error;
  // The working directory may change later.
  const std::filesystem::path absolute =
      without_last_separator(std::filesystem::absolute(path, error).lexically_normal());
  Result<FileDescriptor> folder = open_file(error ? path : absolute, O_RDONLY | O_DIRECTORY);
  if (!folder) {
    Error failure = std::move(folder).error();
    if (failure.error_number() == ENOTCONN)
      failure = std::move(failure).with_hint(fmt::format(
          "The file system mounted at or above {} has died: unmount it (`umount -l`), and mount it again.",
          absolute.native()));
    if (failure.code() != ErrorCode::not_found) return std::unexpected(std::move(failure));
    return std::unexpected(
        make_error(ErrorCode::not_found, "there is no folder \"{}\"", absolute.native())
            .with_hint(fmt::format("Check that the disk that holds {} is mounted.", absolute.native())));
  }
  PGS_TRY(const FileInfo info, stat_file(*folder));
  PGS_TRY(ProcessIdentity process, ProcessIdentity::self());
  return DiskRoot(absolute, info, marks_of(*folder), std::move(process));
}

DiskRoot::DiskRoot(DiskRoot&& other) noexcept
    : path_(other.path_),
      info_(other.info_),
      marks_(other.marks_),
      process_(other.process_),
      place_(other.place_),
      durable_folders_(std::move(other.durable_folders_)) {}

Result<void> DiskRoot::check_present() const {
  const Result<FileDescriptor> folder = open_file(path_, O_RDONLY | O_DIRECTORY);
  if (folder) {
    PGS_TRY(const FileInfo info, stat_file(*folder));
    const std::lock_guard lock(mutex_);
    if (info.device == place_.device && info.inode == place_.inode) return {};
    if (!marks_.empty() && marks_of(*folder) == marks_) {
      place_ = info;
      durable_folders_.clear();
      return {};
    }
  } else if (folder.error().code() != ErrorCode::not_found) {
    return std::unexpected(folder.error());
  }
  return std::unexpected(
      make_error(ErrorCode::unavailable, "the folder \"{}\" is not the one that was opened", path_.native())
          .with_hint(fmt::format("Check that the disk that holds {} is still mounted.", path_.native())));
}

// Through a link, files would be made and removed in a folder that is somebody else's.
Result<FileDescriptor> DiskRoot::open_temporaries() const {
  Result<FileDescriptor> folder = open_file(temporaries(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (folder) return folder;
  const Result<FileInfo> info = stat_file(temporaries());
  if (!info || info->kind == FileType::directory) return folder;
  return std::unexpected(
      make_error(ErrorCode::failed, "\"{}\" is {}, not a folder", temporaries().native(),
                 info->kind == FileType::symbolic_link ? "a symbolic link" : "a file")
          .with_hint("Find out who put it there, then remove it: pgstrata makes the folder itself."));
}

Result<Temporary> DiskRoot::make_temporary() {
  Result<FileDescriptor> folder = open_temporaries();
  if (!folder && folder.error().code() == ErrorCode::not_found) {
    PGS_CHECK(check_present());
    // A link that leads nowhere is there, and is told by the second look.
    PGS_CHECK(make_folders(".tmp"));
    folder = open_temporaries();
  }
  if (!folder) return std::unexpected(std::move(folder).error());
  const std::string name = temporary_name(process_);
  PGS_TRY(FileDescriptor file, open_file_in(*folder, name, O_RDWR | O_CREAT | O_EXCL));
  Temporary temporary(std::move(file), temporaries() / name);
  PGS_CHECK(give_to_owner(temporary.file));
  return temporary;
}

bool DiskRoot::gives_away() const {
  return ::geteuid() == 0 && info_.owner != 0;
}

Result<void> DiskRoot::give_to_owner(const FileDescriptor& file) const {
  if (!gives_away() || ::fchown(file.get(), info_.owner, info_.group) == 0) return {};
  if (errno == EPERM) return {};  // over NFS root may be nobody: what it makes is nobody's
  return std::unexpected(error_from_errno(
      errno, fmt::format("could not give what root makes in \"{}\" to its owner", path_.native())));
}

Result<void> DiskRoot::make_lock_file() const {
  if (!gives_away()) return {};
  PGS_TRY(const FileDescriptor folder, open_file(path_, O_RDONLY | O_DIRECTORY));
  const auto made = open_file_in(folder, ".lock", O_RDWR | O_CREAT | O_EXCL);
  if (made) return give_to_owner(*made);
  return made.error().code() == ErrorCode::already_exists ? Result<void>() : std::unexpected(made.error());
}

// Step by step and through no link: the owner could lead root to folders elsewhere, to be made and given
// away.
// Links within a repository are not followed: listings do not, and what is written must be found again.
Result<void> DiskRoot::make_folders(std::string_view name) const {
  PGS_TRY(FileDescriptor folder, open_file(path_, O_RDONLY | O_DIRECTORY));
  for (const auto& step : std::filesystem::path(name)) {
    const bool made = ::mkdirat(folder.get(), step.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) {
      return std::unexpected(
          error_from_errno(errno, fmt::format("could not create \"{}\"", path_of(name).native())));
    }
    auto next = open_file_in(folder, step.native(), O_RDONLY | O_DIRECTORY);
    const int why_not = next ? 0 : next.error().error_number();
    if (why_not == ELOOP || why_not == ENOTDIR) {
      return std::unexpected(std::move(next).error().with_hint(
          "In a repository are folders and files only, no links: move it as a "
          "whole, or mount a disk where the link is."));
    }
    if (!next) return std::unexpected(std::move(next).error());
    if (made) PGS_CHECK(give_to_owner(*next));
    folder = *std::move(next);
  }
  return {};
}

Result<void> DiskRoot::ensure_folder_of(std::string_view name) {
  const std::filesystem::path folder = path_of(name).parent_path();
  {
    const std::lock_guard lock(mutex_);
    if (durable_folders_.contains(folder)) return {};
  }
  PGS_CHECK(check_present());
  PGS_CHECK(make_folders(std::filesystem::path(name).parent_path().native()));
  auto at = folder;
  for (auto depth = std::ranges::count(name, '/'); depth > 0; --depth) {
    at = at.parent_path();
    PGS_CHECK(sync_directory(at));
  }
  const std::lock_guard lock(mutex_);
  durable_folders_.insert(folder);
  return {};
}

void DiskRoot::forget_folders() {
  const std::lock_guard lock(mutex_);
  durable_folders_.clear();
}

Result<void> DiskRoot::rename_into_place(Temporary& temporary, std::string_view name, Taken taken) {
  const std::filesystem::path target = path_of(name);
  const auto rename = [&]() -> Result<void> {
    PGS_CHECK(ensure_folder_of(name));
    return taken == Taken::refuse ? rename_file_to_new(temporary.path_, target)
                                  : rename_file(temporary.path_, target);
  };
  Result<void> renamed = rename();
  if (!renamed && renamed.error().code() == ErrorCode::not_found) {
    // Of the two names the error does not say which one is missing.
    PGS_TRY(const bool temporary_there, file_exists(temporary.path_));
    if (!temporary_there) {
      return std::unexpected(make_error(ErrorCode::unavailable,
                                        "somebody removed \"{}\" before it became object \"{}\"",
                                        temporary.path_.native(), name)
                                 .with_hint("Let nothing clean up in the repository: pgstrata does it."));
    }
    forget_folders();  // somebody removed it by hand
    renamed = rename();
  }
  if (renamed) temporary.path_.clear();
  return renamed;
}

Result<void> DiskRoot::sync_folder_of(std::string_view name) const {
  return sync_directory(path_of(name).parent_path());
}

Result<void> DiskRoot::publish(Temporary& temporary, std::string_view name, Taken taken) {
  Result<void> renamed = rename_into_place(temporary, name, taken);
  // Whoever gave a taken name may not have come to this yet, nor ever come to it.
  if (renamed || renamed.error().code() == ErrorCode::already_exists) PGS_CHECK(sync_folder_of(name));
  return renamed;
}

namespace {

// Of folders that go meanwhile nothing is left to be durable.
Result<void> sync_if_there(const std::filesystem::path& folder) {
  Result<void> synced = sync_directory(folder);
  if (!synced && synced.error().code() == ErrorCode::not_found) return {};
  return synced;
}

// `folder` and all below it whose names start with `beginning`.
Result<void> sync_below(const std::filesystem::path& folder, std::string_view beginning) {
  PGS_CHECK(sync_if_there(folder));
  const Result<std::vector<DirectoryEntry>> entries = list_directory(folder);
  if (!entries && entries.error().code() == ErrorCode::not_found) return {};
  if (!entries) return std::unexpected(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    if (entry.kind != FileType::directory || !entry.name.starts_with(beginning)) continue;
    if (check_object_name(entry.name)) PGS_CHECK(sync_below(folder / entry.name, {}));
  }
  return {};
}

}  // namespace

Result<void> DiskRoot::sync_names(std::string_view prefix) {
  PGS_CHECK(check_present());
  const std::size_t slash = prefix.rfind('/');
  if (slash == std::string_view::npos) return sync_below(path_, prefix);
  const std::string_view folder = prefix.substr(0, slash);
  if (!check_object_name(folder)) return {};
  for (std::size_t end = folder.rfind('/'); end != std::string_view::npos; end = folder.rfind('/', end - 1)) {
    PGS_CHECK(sync_if_there(path_of(folder.substr(0, end))));
  }
  PGS_CHECK(sync_if_there(path_));
  const Result<FileInfo> info = stat_file(path_of(folder));
  if (!info || info->kind != FileType::directory) return {};
  return sync_below(path_of(folder), prefix.substr(slash + 1));
}

Result<void> DiskRoot::remove_stale_temporaries(Timestamp now) {
  const Result<FileDescriptor> folder = open_temporaries();
  if (!folder && folder.error().code() == ErrorCode::not_found) return {};
  if (!folder) return std::unexpected(folder.error());
  PGS_TRY(const std::vector<DirectoryEntry> entries, list_directory(*folder));
  for (const DirectoryEntry& entry : entries) {
    const std::optional<ProcessIdentity> process = process_of(entry.name);
    if (!process) continue;
    const Result<FileInfo> info = stat_file_in(*folder, entry.name);
    if (!info || info->kind != FileType::regular || !abandoned(*process, info->modified, now)) continue;
    const Result<void> removed = remove_file_in(*folder, entry.name);
    if (!removed && removed.error().code() != ErrorCode::not_found) return removed;
  }
  return {};
}

Error DiskRoot::explain(Error error, std::string_view name) const {
  switch (error.code()) {
    case ErrorCode::not_found: {
      Result<void> present = check_present();
      if (!present) return std::move(present).error();
      return make_error(ErrorCode::not_found, "there is no object \"{}\" in {}", name, path_.native());
    }
    case ErrorCode::already_exists:
      return make_error(ErrorCode::already_exists, "object \"{}\" exists already in {}", name,
                        path_.native());
    case ErrorCode::no_space: {
      const Result<std::uint64_t> free = free_space_bytes(path_);
      if (!free) return error;
      return std::move(error).with_hint(
          fmt::format("Make room: the disk of {} has {} bytes free.", path_.native(), *free));
    }
    default:
      return error;
  }
}

}  // namespace pgstrata
