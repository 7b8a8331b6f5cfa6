#include <array>

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "restore/wal_spool.h"
#include "sys/lock_file.h"

namespace pgstrata {
namespace {

// Wakes when recovery takes a file or moves on, or the kit goes.
class FolderWatch {
 public:
  static Result<FolderWatch> create(const std::filesystem::path& folder) {
    FileDescriptor inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify ||
        ::inotify_add_watch(inotify.get(), folder.c_str(), IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF) < 0) {
      return std::unexpected(error_from_errno(errno, fmt::format("could not watch \"{}\"", folder.native())));
    }
    return FolderWatch(std::move(inotify));
  }

  // False when nothing happened for the span.
  bool wait(std::chrono::milliseconds span) {
    pollfd poll_for{.fd = inotify_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&poll_for, 1, static_cast<int>(span.count())) <= 0) return false;
    std::array<char, 4096> events{};
    while (::read(inotify_.get(), events.data(), events.size()) > 0) {
    }
    return true;
  }

 private:
  explicit FolderWatch(FileDescriptor inotify) : inotify_(std::move(inotify)) {}
  FileDescriptor inotify_;
};

// Makes [from, to) of the list ready, one after the other, as long as recovery does not move on meanwhile.
Result<void> fill(const WalSpool& spool, ObjectStore& store, std::size_t position, std::size_t to) {
  for (std::size_t index = position + 1; index < to; ++index) {
    const auto& segment = spool.kit().segments[index];
    const auto file = spool.file(spool.name_of(segment));
    PGS_TRY(const bool ready, file_exists(file));
    if (ready || !segment.pack_key) continue;
    PGS_TRY(const auto now, spool.position());
    if (now != position) return {};
    PGS_CHECK(spool.read_segment(store, segment, file));
  }
  return {};
}

// What recovery fetched by itself while it was being made ready; the one at the position is being taken just
// now.
Result<void> drop_stale(const WalSpool& spool, std::size_t from, std::size_t position) {
  for (std::size_t index = from; index < position; ++index) {
    const auto& segment = spool.kit().segments[index];
    if (!segment.pack_key) continue;
    const auto removed = remove_file(spool.file(spool.name_of(segment)));
    if (!removed && removed.error().code() != ErrorCode::not_found) return removed;
  }
  return {};
}

}  // namespace

Result<void> run_read_ahead(const std::filesystem::path& kit_path, const OpenStore& open_store,
                            const WalFetchOptions& options) {
  PGS_TRY(const auto spool, WalSpool::open(kit_path));
  const auto lock = LockFile::try_acquire(spool.folder() / "prefetch.lock");
  if (!lock) return lock.error().code() == ErrorCode::busy ? Result<void>() : std::unexpected(lock.error());
  PGS_TRY(auto watch, FolderWatch::create(spool.folder()));
  PGS_TRY(const auto store, open_store(spool.kit().repository));
  const std::size_t count = spool.kit().segments.size();
  std::size_t clean_from = 0;
  while (true) {
    PGS_TRY(const bool kit_exists, file_exists(kit_path));
    PGS_TRY(const auto position, spool.position());
    if (!kit_exists || !position || *position + 1 >= count) return {};
    PGS_CHECK(drop_stale(spool, clean_from, *position));
    clean_from = *position;
    PGS_CHECK(fill(spool, *store, *position, std::min(count, *position + 1 + options.read_ahead_segments)));
    PGS_TRY(const auto now, spool.position());
    if (now == position && !watch.wait(options.idle_limit)) return {};
  }
}

}  // namespace pgstrata
