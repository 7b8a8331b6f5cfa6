#include "restore/target_directory.h"

#include <array>
#include <optional>

#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/digest.h"
#include "codec/secret.h"
#include "sys/durable.h"
#include "sys/retry.h"

namespace pgstrata {
namespace {

constexpr mode_t permission_bits = 07777;

// The user database's answer for one user; nothing when it has none.
std::optional<FileOwner> owner_from(const passwd* user) {
  if (user == nullptr) return std::nullopt;
  return FileOwner{user->pw_uid, user->pw_gid, user->pw_name, ::geteuid() == 0 && user->pw_uid != 0};
}
std::optional<FileOwner> owner_named(const char* name) {
  std::array<char, 16384> memory{};
  passwd entry{};
  passwd* user = nullptr;
  ::getpwnam_r(name, &entry, memory.data(), memory.size(), &user);
  return owner_from(user);
}
std::string name_of(uid_t id) {
  std::array<char, 16384> memory{};
  passwd entry{};
  passwd* user = nullptr;
  ::getpwuid_r(id, &entry, memory.data(), memory.size(), &user);
  return user == nullptr ? fmt::format("{}", id) : std::string(user->pw_name);
}

// Of a folder and those above it; empty when it is there.
Result<std::filesystem::path> uppermost_missing(const std::filesystem::path& folder) {
  std::filesystem::path missing;
  for (auto at = folder; !at.empty(); at = at.parent_path()) {
    PGS_TRY(const bool exists, file_exists(at));
    if (exists) break;
    missing = at;
  }
  return missing;
}

// From `folder` up to `uppermost`, as far as they are empty.
void remove_empty(std::filesystem::path folder, const std::filesystem::path& uppermost) {
  for (;; folder = folder.parent_path()) {
    const bool removed = ::rmdir(folder.c_str()) == 0 || errno == ENOENT;
    if (!removed || folder == uppermost) return;
  }
}

// Durably, what is missing of the way to a folder. Where the folder will be somebody else's, he must be able
// to pass, whatever our umask.
Result<void> make_way(const std::filesystem::path& folder, const FileOwner& owner) {
  PGS_TRY(const bool exists, file_exists(folder));
  if (exists || folder.empty()) return {};
  PGS_CHECK(make_way(folder.parent_path(), owner));
  PGS_CHECK(durable_make_directories(folder, 0755));
  if (owner.change && ::chmod(folder.c_str(), 0755) != 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not set the mode of \"{}\"", folder.native())));
  }
  return {};
}

}  // namespace

Result<FileOwner> choose_owner(const std::filesystem::path& directory) {
  const FileOwner self{::geteuid(), ::getegid(), name_of(::geteuid()), false};
  if (self.user != 0) return self;
  struct stat info {};
  if (::stat(directory.c_str(), &info) == 0) {
    if (info.st_uid != 0) return FileOwner{info.st_uid, info.st_gid, name_of(info.st_uid), true};
  } else if (errno != ENOENT) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not look at \"{}\"", directory.native())));
  }
  return owner_named("postgres").value_or(self);
}

Result<TargetDirectory> TargetDirectory::open(const std::filesystem::path& path, FileOwner owner) {
  PGS_TRY(auto folder, pgstrata::open_file(path, O_RDONLY | O_DIRECTORY));
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(ErrorCode::busy, "another restore is at work in \"{}\"", path.native());
    return std::unexpected(error_from_errno(errno, fmt::format("could not lock \"{}\"", path.native())));
  }
  PGS_TRY(const auto info, stat_file(folder));
  return TargetDirectory(path, std::move(folder), std::move(owner), info.device);
}

Result<TargetDirectory> TargetDirectory::open_or_make(const std::filesystem::path& path, FileOwner owner) {
  PGS_TRY(const auto missing, uppermost_missing(path));
  if (missing.empty()) return open(path, std::move(owner));
  auto target = make(path, std::move(owner));
  if (!target) {
    remove_empty(path, missing);
    return target;
  }
  target->made_from_ = missing;
  return target;
}

Result<TargetDirectory> TargetDirectory::make(const std::filesystem::path& path, FileOwner owner) {
  PGS_CHECK(make_way(path.parent_path(), owner));
  PGS_CHECK(durable_make_directories(path));
  PGS_TRY(auto target, open(path, std::move(owner)));
  PGS_CHECK(target.adopt(target.folder_, 0700));
  return target;
}

void TargetDirectory::unmake() const {
  if (!made_from_.empty()) remove_empty(path_, made_from_);
}

std::filesystem::path TargetDirectory::shown(std::string_view relative) const {
  return relative.empty() ? path_ : path_ / relative;
}

std::unexpected<Error> TargetDirectory::failure(std::string_view what, std::string_view relative) const {
  const int error_number = errno;
  if (error_number == ELOOP || error_number == ENOTDIR) {
    return fail(ErrorCode::failed, "could not {} \"{}\": a symbolic link or file stands in the way", what,
                shown(relative).native());
  }
  return std::unexpected(
      error_from_errno(error_number, fmt::format("could not {} \"{}\"", what, shown(relative).native())));
}

// Part by part, so that no link is followed on the way.
Result<FileDescriptor> TargetDirectory::open_folder(std::string_view relative) const {
  FileDescriptor at(::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at) return failure("open", "");
  std::string_view rest = relative;
  while (!rest.empty()) {
    const std::string part(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    FileDescriptor next(::openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return failure("open", relative);
    at = std::move(next);
  }
  return at;
}

Result<TargetDirectory::Place> TargetDirectory::place_of(std::string_view relative) const {
  const auto slash = relative.rfind('/');
  if (slash == std::string_view::npos) {
    PGS_TRY(auto folder, open_folder(""));
    return Place{std::move(folder), std::string(relative)};
  }
  PGS_TRY(auto folder, open_folder(relative.substr(0, slash)));
  return Place{std::move(folder), std::string(relative.substr(slash + 1))};
}

Result<void> TargetDirectory::adopt(const FileDescriptor& file, mode_t mode) const {
  if (owner_.change && ::fchown(file.get(), owner_.user, owner_.group) != 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not give \"{}\" to {}", file.describe(), owner_.name)));
  }
  if (::fchmod(file.get(), mode & permission_bits) != 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not set the mode of \"{}\"", file.describe())));
  }
  return {};
}

Result<FileDescriptor> TargetDirectory::open_file(std::string_view relative, int flags, mode_t mode) const {
  PGS_TRY(const auto place, place_of(relative));
  FileDescriptor file(retry_interrupted([&] {
    return ::openat(place.folder.get(), place.name.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                    mode & permission_bits);
  }));
  if (!file) return failure("open", relative);
  PGS_CHECK(check_regular(file, shown(relative)));
  if ((flags & O_CREAT) != 0) PGS_CHECK(adopt(file, mode));
  return file;
}

Result<FileInfo> TargetDirectory::stat(std::string_view relative) const {
  PGS_TRY(const auto place, place_of(relative));
  return stat_file(fmt::format("/proc/self/fd/{}/{}", place.folder.get(), place.name));
}

Result<void> TargetDirectory::make_directory(std::string_view relative, mode_t mode) const {
  PGS_TRY(const auto place, place_of(relative));
  if (::mkdirat(place.folder.get(), place.name.c_str(), 0700) != 0 && errno != EEXIST) {
    return failure("create directory", relative);
  }
  PGS_TRY(const auto folder, open_folder(relative));
  return adopt(folder, mode);
}

Result<void> TargetDirectory::make_link(std::string_view relative, const std::filesystem::path& to) const {
  PGS_TRY(const auto place, place_of(relative));
  if (::symlinkat(to.c_str(), place.folder.get(), place.name.c_str()) != 0)
    return failure("create link", relative);
  if (owner_.change && ::fchownat(place.folder.get(), place.name.c_str(), owner_.user, owner_.group,
                                  AT_SYMLINK_NOFOLLOW) != 0) {
    return failure("give away", relative);
  }
  return {};
}

Result<std::string> TargetDirectory::read_link(std::string_view relative) const {
  PGS_TRY(const auto place, place_of(relative));
  std::string to(4096, '\0');
  const auto size = ::readlinkat(place.folder.get(), place.name.c_str(), to.data(), to.size());
  if (size < 0 && (errno == EINVAL || errno == ENOENT)) return std::string();
  if (size < 0) return failure("read link", relative);
  to.resize(static_cast<std::size_t>(size));
  return to;
}

Result<std::vector<DirectoryEntry>> TargetDirectory::list(std::string_view relative) const {
  PGS_TRY(const auto folder, open_folder(relative));
  return list_directory(fmt::format("/proc/self/fd/{}", folder.get()));
}

Result<void> TargetDirectory::remove(std::string_view relative) const {
  auto place = place_of(relative);
  if (!place && place.error().code() == ErrorCode::not_found) return {};
  if (!place) return std::unexpected(std::move(place).error());
  return remove_tree(fmt::format("/proc/self/fd/{}/{}", place->folder.get(), place->name));
}

Result<Bytes> TargetDirectory::read(std::string_view relative, std::size_t limit_bytes) const {
  PGS_TRY(const auto file, open_file(relative, O_RDONLY));
  PGS_TRY(const auto info, stat_file(file));
  if (info.size_bytes > limit_bytes) {
    return fail(ErrorCode::failed, "\"{}\" is longer than {} bytes", shown(relative).native(), limit_bytes);
  }
  Bytes content(info.size_bytes);
  PGS_TRY(const auto size, read_at_most(file, 0, content));
  content.resize(size);
  return content;
}

Result<void> TargetDirectory::write(std::string_view relative, ByteView content, mode_t mode) const {
  const auto temporary = fmt::format("{}.{}.tmp", relative, to_hex(random_bytes(4)));
  PGS_TRY(const auto file, open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
  PGS_CHECK(write_all(file, content));
  PGS_CHECK(sync_file(file));
  PGS_TRY(const auto from, place_of(temporary));
  PGS_TRY(const auto to, place_of(relative));
  if (::renameat(from.folder.get(), from.name.c_str(), to.folder.get(), to.name.c_str()) != 0) {
    return failure("write", relative);
  }
  return sync_file(to.folder);
}

Result<void> TargetDirectory::set_mode(mode_t mode) const {
  return adopt(folder_, mode);
}

Result<void> TargetDirectory::sync() const {
  return sync_file_system(folder_);
}

Result<void> TargetDirectory::sync_names(std::string_view relative) const {
  PGS_TRY(const auto folder, open_folder(relative));
  return sync_file(folder);
}

}  // namespace pgstrata
