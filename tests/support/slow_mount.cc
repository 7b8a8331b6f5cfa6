#define FUSE_USE_VERSION 314

#include "support/slow_mount.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <fuse.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child_process.h"
#include "support/test_failure.h"

namespace pgstrata::testing {

struct SlowMount::Shared {
  std::atomic<std::uint64_t> reads;
  std::atomic<std::uint64_t> bytes;
};

namespace {

// Of the process that serves.
std::string& served_folder() {
  static std::string folder;
  return folder;
}
std::chrono::microseconds& pause() {
  static std::chrono::microseconds each_read{0};
  return each_read;
}
std::atomic<std::uint64_t>* counted_reads = nullptr;
std::atomic<std::uint64_t>* counted_bytes = nullptr;

std::string real_path(const char* path) {
  return served_folder() + path;
}
int result_of(int result) {
  return result < 0 ? -errno : result;
}

int slow_getattr(const char* path, struct stat* info, fuse_file_info*) {
  return result_of(::lstat(real_path(path).c_str(), info));
}

int slow_readdir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
                 fuse_readdir_flags) {
  DIR* folder = ::opendir(real_path(path).c_str());
  if (folder == nullptr) return -errno;
  while (const dirent* entry = ::readdir(folder)) {
    fill(buffer, entry->d_name, nullptr, 0, fuse_fill_dir_flags{});
  }
  ::closedir(folder);
  return 0;
}

// What a client makes belongs to it.
int given_away(int result, const std::string& path) {
  if (result < 0) return -errno;
  const fuse_context* const client = ::fuse_get_context();
  if (client->uid == ::geteuid()) return 0;
  return result_of(::lchown(path.c_str(), client->uid, client->gid));
}

int slow_mkdir(const char* path, mode_t mode) {
  const std::string real = real_path(path);
  return given_away(::mkdir(real.c_str(), mode), real);
}
int slow_unlink(const char* path) {
  return result_of(::unlink(real_path(path).c_str()));
}
int slow_rmdir(const char* path) {
  return result_of(::rmdir(real_path(path).c_str()));
}
int slow_rename(const char* from, const char* to, unsigned flags) {
  return result_of(::renameat2(AT_FDCWD, real_path(from).c_str(), AT_FDCWD, real_path(to).c_str(), flags));
}
int slow_chmod(const char* path, mode_t mode, fuse_file_info*) {
  return result_of(::chmod(real_path(path).c_str(), mode));
}
int slow_truncate(const char* path, off_t size, fuse_file_info*) {
  return result_of(::truncate(real_path(path).c_str(), size));
}
int slow_create(const char* path, mode_t mode, fuse_file_info* info) {
  const std::string real = real_path(path);
  const int file = ::open(real.c_str(), info->flags | O_CREAT, mode);
  info->fh = static_cast<std::uint64_t>(file);
  info->direct_io = 1;
  return given_away(file, real);
}
int slow_write(const char*, const char* from, std::size_t size, off_t offset, fuse_file_info* info) {
  const ssize_t put = ::pwrite(static_cast<int>(info->fh), from, size, offset);
  return put < 0 ? -errno : static_cast<int>(put);
}
int slow_fsync(const char*, int, fuse_file_info* info) {
  return result_of(::fdatasync(static_cast<int>(info->fh)));
}
int slow_fsyncdir(const char*, int, fuse_file_info*) {
  return 0;
}

int slow_chown(const char* path, uid_t user, gid_t group, fuse_file_info*) {
  return result_of(::lchown(real_path(path).c_str(), user, group));
}

int slow_open(const char* path, fuse_file_info* info) {
  const int file = ::open(real_path(path).c_str(), info->flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL));
  if (file < 0) return -errno;
  info->fh = static_cast<std::uint64_t>(file);
  info->direct_io = 1;
  return 0;
}

int slow_read(const char* path, char* into, std::size_t size, off_t offset, fuse_file_info* info) {
  const timespec each{.tv_sec = 0, .tv_nsec = std::chrono::nanoseconds(pause()).count()};
  ::nanosleep(&each, nullptr);
  const ssize_t got = ::pread(static_cast<int>(info->fh), into, size, offset);
  if (got < 0) return -errno;
  if (std::string_view(path).ends_with(".tail")) return static_cast<int>(got);
  ++*counted_reads;
  *counted_bytes += static_cast<std::uint64_t>(got);
  return static_cast<int>(got);
}

int slow_release(const char*, fuse_file_info* info) {
  return result_of(::close(static_cast<int>(info->fh)));
}

// Until it is unmounted. Says through `ready` that it is mounted.
int serve(const std::filesystem::path& mount_point, int ready) {
  fuse_operations operations{};
  operations.getattr = slow_getattr;
  operations.readdir = slow_readdir;
  operations.mkdir = slow_mkdir;
  operations.unlink = slow_unlink;
  operations.rmdir = slow_rmdir;
  operations.rename = slow_rename;
  operations.chmod = slow_chmod;
  operations.chown = slow_chown;
  operations.truncate = slow_truncate;
  operations.create = slow_create;
  operations.write = slow_write;
  operations.fsync = slow_fsync;
  operations.fsyncdir = slow_fsyncdir;
  operations.open = slow_open;
  operations.read = slow_read;
  operations.release = slow_release;
  std::array<char*, 3> arguments{
      const_cast<char*>("slow"), const_cast<char*>("-o"),
      const_cast<char*>(::geteuid() == 0 ? "default_permissions,allow_other" : "default_permissions")};
  fuse_args parsed = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());
  fuse* const mounted = fuse_new(&parsed, &operations, sizeof operations, nullptr);
  if (mounted == nullptr || fuse_mount(mounted, mount_point.c_str()) != 0) return 1;
  if (::write(ready, "m", 1) != 1) return 1;
  fuse_loop_config* const config = fuse_loop_cfg_create();
  return fuse_loop_mt(mounted, config);
}

}  // namespace

SlowMount::SlowMount(std::filesystem::path folder, std::filesystem::path mount_point,
                     std::chrono::microseconds each_read)
    : mount_point_(std::move(mount_point)) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw TestFailure("no memory for the counters of a slow mount");
  shared_ = new (memory) Shared{};
  std::array<int, 2> ready{};
  if (::pipe(ready.data()) != 0) throw TestFailure("no pipe");
  const pid_t parent = ::getpid();
  server_ = ::fork();
  if (server_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    served_folder() = folder;
    pause() = each_read;
    counted_reads = &shared_->reads;
    counted_bytes = &shared_->bytes;
    ::_exit(serve(mount_point_, ready[1]));
  }
  ::close(ready[1]);
  char said = 0;
  const bool mounted = server_ > 0 && ::read(ready[0], &said, 1) == 1;
  ::close(ready[0]);
  if (!mounted) throw TestFailure("could not mount a slow folder at " + mount_point_.string());
}

SlowMount::~SlowMount() {
  if (::geteuid() == 0) {
    ::umount2(mount_point_.c_str(), MNT_DETACH);
  } else {
    static_cast<void>(run_program({"/usr/bin/fusermount3", "-uz", mount_point_.string()}));
  }
  ::kill(server_, SIGKILL);
  ::waitpid(server_, nullptr, 0);
  ::munmap(shared_, sizeof(Shared));
}

SlowMount::Reads SlowMount::take_reads() {
  return {.count = shared_->reads.exchange(0), .bytes = shared_->bytes.exchange(0)};
}

}  // namespace pgstrata::testing
