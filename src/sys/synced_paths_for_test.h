// Notes which files and folders a test program syncs: defines fsync and fdatasync, weakly, as several files of a
// program may include this. Only tests include this header.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

namespace pgstrata {

struct SyncNotes {
  static SyncNotes& instance() {
    static SyncNotes notes;
    return notes;
  }
  std::atomic<bool> on{false};
  std::function<void()> on_sync;  // set while off
  std::mutex mutex;
  std::vector<std::string> paths;  // guarded by mutex
};

// The files and folders that `call` syncs. `on_sync` is called before each.
template <class Call>
std::vector<std::string> paths_synced_by(Call call, std::function<void()> on_sync = {}) {
  SyncNotes& notes = SyncNotes::instance();
  notes.paths.clear();
  notes.on_sync = std::move(on_sync);
  notes.on = true;
  call();
  notes.on = false;
  return notes.paths;
}

inline void note_sync(int file) {
  auto& notes = SyncNotes::instance();
  if (!notes.on) return;
  if (notes.on_sync) notes.on_sync();
  const std::lock_guard lock(notes.mutex);
  notes.paths.push_back(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(file)));
}

}  // namespace pgstrata

extern "C" [[gnu::weak]] int fsync(int file) {
  pgstrata::note_sync(file);
  return static_cast<int>(::syscall(SYS_fsync, file));
}

extern "C" [[gnu::weak]] int fdatasync(int file) {
  pgstrata::note_sync(file);
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}
