// remove_tree of files.h, for trees that somebody else makes as he likes: of any depth, with few descriptors
// open, and while he goes on. Links are not followed.
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr unsigned deepest_descent = 64;
// Against somebody who makes files meanwhile, and folders as fast as they are moved up.
constexpr int most_tries = 10;
constexpr int most_passes = 100'000;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

class TreeRemoval {
 public:
  TreeRemoval(const std::filesystem::path& path, int top) : path_(path), top_(top) {}

  // False when folders were moved up to the top, to be emptied from there.
  Result<bool> empty() {
    moved_ = false;
    PGS_CHECK(empty(top_, 0));
    return !moved_;
  }

 private:
  Result<void> empty(int folder, unsigned depth) {
    FileDescriptor again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again) return failure();
    const std::unique_ptr<DIR, CloseFolder> entries(::fdopendir(again.get()));
    if (!entries) return failure();
    static_cast<void>(again.release());
    while (const auto* entry = ::readdir(entries.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") PGS_CHECK(remove(folder, entry->d_name, depth));
    }
    return {};
  }

  Result<void> remove(int folder, const char* name, unsigned depth) {
    if (::unlinkat(folder, name, 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return failure();
    if (depth == deepest_descent) return move_up(folder, name);
    const FileDescriptor below(::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) return errno == ENOENT ? Result<void>() : failure();
    PGS_CHECK(empty(below.get(), depth + 1));
    if (::unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTEMPTY) return {};
    return failure();
  }

  Result<void> move_up(int folder, const char* name) {
    moved_ = true;
    while (true) {
      const auto here = fmt::format("pgstrata-removed-{}", next_++);
      if (::renameat(folder, name, top_, here.c_str()) == 0 || errno == ENOENT) return {};
      if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
        return failure();  // else the name is taken
    }
  }

  [[nodiscard]] std::unexpected<Error> failure() const {
    return std::unexpected(error_from_errno(errno, fmt::format("could not remove \"{}\"", path_.native())));
  }

  const std::filesystem::path& path_;
  int top_;
  std::uint64_t next_ = 0;
  bool moved_ = false;
};

}  // namespace

Result<void> remove_tree(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  const auto failure = [&] {
    return std::unexpected(error_from_errno(errno, fmt::format("could not remove \"{}\"", path.native())));
  };
  if (errno != EISDIR && errno != EPERM) return failure();
  const FileDescriptor top(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top) return failure();
  TreeRemoval removal(path, top.get());
  for (int passes = 0, tries = 0; passes < most_passes && tries < most_tries; ++passes) {
    PGS_TRY(const bool done, removal.empty());
    if (!done) continue;
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return failure();
    ++tries;
  }
  errno = ENOTEMPTY;
  return failure();
}

}  // namespace pgstrata
