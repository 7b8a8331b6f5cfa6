#define FUSE_USE_VERSION 314

#include "branch/fuse/fuse_mount.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/mount_failure.h"

namespace pgstrata {

struct FuseMount::State {
  Overlay& overlay;
  FuseMountOptions options;
  fuse_session* session = nullptr;
  bool mounted = false;
};

namespace {

using State = FuseMount::State;

// Nobody else changes what is here: what the kernel knows stays true.
constexpr double for_ever = 1e9;
constexpr unsigned write_bytes_max = 1U << 20;
constexpr unsigned background_requests_max = 64;
constexpr unsigned threads_max = 8;

State& state_of(fuse_req_t request) {
  return *static_cast<State*>(fuse_req_userdata(request));
}

int errno_of(const Error& error) {
  if (error.error_number() != 0) return error.error_number();
  if (error.code() == ErrorCode::no_space) return ENOSPC;
  return EIO;
}

void reply_error(fuse_req_t request, const Error& error) {
  const int number = errno_of(error);
  // What is damaged or could not be read is told with its name; the caller hears of an I/O error only.
  if (number == EIO || number == ENOSPC) log_error("{}", mount_failure_words(error));
  fuse_reply_err(request, number);
}

void reply_done(fuse_req_t request, const Result<void>& result) {
  if (!result) return reply_error(request, result.error());
  fuse_reply_err(request, 0);
}

mode_t type_of(OverlayNodeKind kind) {
  switch (kind) {
    case OverlayNodeKind::regular:
      return S_IFREG;
    case OverlayNodeKind::directory:
      return S_IFDIR;
    case OverlayNodeKind::symbolic_link:
      return S_IFLNK;
  }
  return S_IFREG;
}

bool is_fixed(const State& state, NodeId folder) {
  return std::ranges::find(state.options.fixed_folders, folder) != state.options.fixed_folders.end();
}

struct stat attributes(const State& state, const NodeInfo& info) {
  struct stat attributes {};
  attributes.st_ino = info.node;
  attributes.st_mode = type_of(info.kind) | info.mode;
  attributes.st_nlink = static_cast<nlink_t>(info.links);
  attributes.st_uid = state.options.user;
  attributes.st_gid = state.options.group;
  if (info.node == root_node && is_fixed(state, info.node)) {
    attributes.st_uid = ::geteuid();
    attributes.st_gid = ::getegid();
  }
  attributes.st_size = static_cast<off_t>(info.size_bytes);
  attributes.st_blocks = static_cast<blkcnt_t>((info.size_bytes + 511) / 512);
  attributes.st_blksize = overlay_block_bytes;
  attributes.st_mtim.tv_sec = info.modified.micros / 1'000'000;
  attributes.st_mtim.tv_nsec = info.modified.micros % 1'000'000 * 1000;
  attributes.st_atim = attributes.st_mtim;
  attributes.st_ctim = attributes.st_mtim;
  return attributes;
}

fuse_entry_param entry_of(const State& state, const NodeInfo& info) {
  fuse_entry_param entry{};
  entry.ino = info.node;
  entry.attr = attributes(state, info);
  entry.attr_timeout = for_ever;
  entry.entry_timeout = for_ever;
  return entry;
}

void reply_entry(fuse_req_t request, const Result<NodeInfo>& info) {
  if (!info) return reply_error(request, info.error());
  const auto entry = entry_of(state_of(request), *info);
  if (fuse_reply_entry(request, &entry) != 0) state_of(request).overlay.forget(info->node, 1);
}

void on_init(void*, fuse_conn_info* connection) {
  connection->want |= connection->capable & FUSE_CAP_WRITEBACK_CACHE;
  // The kernel would leave it to an open that it does not make (on_open), and believe that it was done.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
  // Which would ask for a file's attributes before reads, and drop its pages when they are new.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
  connection->max_write = write_bytes_max;
  connection->max_background = background_requests_max;
  connection->congestion_threshold = background_requests_max * 3 / 4;
}

void on_lookup(fuse_req_t request, fuse_ino_t folder, const char* name) {
  const auto info = state_of(request).overlay.lookup(folder, name);
  if (info || errno_of(info.error()) != ENOENT) return reply_entry(request, info);
  fuse_entry_param absent{};  // node 0: the kernel remembers that there is none
  absent.entry_timeout = for_ever;
  fuse_reply_entry(request, &absent);
}

void on_forget(fuse_req_t request, fuse_ino_t node, std::uint64_t references) {
  state_of(request).overlay.forget(node, references);
  fuse_reply_none(request);
}

void reply_attributes(fuse_req_t request, fuse_ino_t node) {
  const auto info = state_of(request).overlay.info(node);
  if (!info) return reply_error(request, info.error());
  const auto found = attributes(state_of(request), *info);
  fuse_reply_attr(request, &found, for_ever);
}

void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  reply_attributes(request, node);
}

Result<void> set_attributes(State& state, fuse_ino_t node, const struct stat& wanted, int which) {
  const bool other_user = (which & FUSE_SET_ATTR_UID) != 0 && wanted.st_uid != state.options.user;
  const bool other_group = (which & FUSE_SET_ATTR_GID) != 0 && wanted.st_gid != state.options.group;
  if (other_user || other_group) return std::unexpected(error_from_errno(EPERM, "change an owner"));
  if ((which & FUSE_SET_ATTR_MODE) != 0) PGS_CHECK(state.overlay.set_mode(node, wanted.st_mode & 07777U));
  if ((which & FUSE_SET_ATTR_SIZE) != 0)
    PGS_CHECK(state.overlay.resize(node, static_cast<std::uint64_t>(wanted.st_size)));
  if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0) return state.overlay.set_modified(node, system_clock().now());
  if ((which & FUSE_SET_ATTR_MTIME) != 0) {
    return state.overlay.set_modified(node,
                                      {wanted.st_mtim.tv_sec * 1'000'000 + wanted.st_mtim.tv_nsec / 1000});
  }
  return {};
}

void on_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int which, fuse_file_info*) {
  if (const auto set = set_attributes(state_of(request), node, *wanted, which); !set)
    return reply_error(request, set.error());
  reply_attributes(request, node);
}

void on_readlink(fuse_req_t request, fuse_ino_t node) {
  const auto target = state_of(request).overlay.link_target(node);
  if (!target) return reply_error(request, target.error());
  fuse_reply_readlink(request, target->c_str());
}

// True when it is refused.
bool refuse_in_fixed(fuse_req_t request, fuse_ino_t folder) {
  if (!is_fixed(state_of(request), folder)) return false;
  fuse_reply_err(request, EPERM);
  return true;
}

void on_mknod(fuse_req_t request, fuse_ino_t folder, const char* name, mode_t mode, dev_t) {
  if (refuse_in_fixed(request, folder)) return;
  if (!S_ISREG(mode)) {
    fuse_reply_err(request, EPERM);
    return;
  }
  reply_entry(request, state_of(request).overlay.make_file(folder, name, mode & 07777U));
}

void on_mkdir(fuse_req_t request, fuse_ino_t folder, const char* name, mode_t mode) {
  if (refuse_in_fixed(request, folder)) return;
  reply_entry(request, state_of(request).overlay.make_folder(folder, name, mode & 07777U));
}

void on_symlink(fuse_req_t request, const char* target, fuse_ino_t folder, const char* name) {
  if (refuse_in_fixed(request, folder)) return;
  reply_entry(request, state_of(request).overlay.make_symbolic_link(folder, name, target));
}

void on_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t folder, const char* name) {
  if (refuse_in_fixed(request, folder)) return;
  reply_entry(request, state_of(request).overlay.add_name(node, folder, name));
}

void on_unlink(fuse_req_t request, fuse_ino_t folder, const char* name) {
  if (refuse_in_fixed(request, folder)) return;
  reply_done(request, state_of(request).overlay.remove_file(folder, name));
}

void on_rmdir(fuse_req_t request, fuse_ino_t folder, const char* name) {
  if (refuse_in_fixed(request, folder)) return;
  reply_done(request, state_of(request).overlay.remove_folder(folder, name));
}

void on_rename(fuse_req_t request, fuse_ino_t from_folder, const char* from, fuse_ino_t to_folder,
               const char* to, unsigned flags) {
  if (refuse_in_fixed(request, from_folder) || refuse_in_fixed(request, to_folder)) return;
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE)) != 0) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  reply_done(request, state_of(request).overlay.rename({from_folder, from}, {to_folder, to},
                                                       (flags & RENAME_NOREPLACE) == 0));
}

// The kernel then goes without, for this call and those that follow.
void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  fuse_reply_err(request, ENOSYS);
}

void on_read(fuse_req_t request, fuse_ino_t node, std::size_t size_bytes, off_t offset, fuse_file_info*) {
  thread_local Buffer buffer;
  if (buffer.capacity() < size_bytes) buffer = Buffer(std::max<std::size_t>(size_bytes, 128U << 10));
  const auto got = state_of(request).overlay.read(node, static_cast<std::uint64_t>(offset),
                                                  buffer.whole().first(size_bytes));
  if (!got) return reply_error(request, got.error());
  fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), *got);
}

void on_write(fuse_req_t request, fuse_ino_t node, const char* bytes, std::size_t size_bytes, off_t offset,
              fuse_file_info*) {
  const auto written = state_of(request).overlay.write(node, static_cast<std::uint64_t>(offset),
                                                       as_byte_view({bytes, size_bytes}));
  if (!written) return reply_error(request, written.error());
  fuse_reply_write(request, size_bytes);
}

void on_fsync(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  reply_done(request, state_of(request).overlay.sync(node));
}

void on_fallocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t size_bytes,
                  fuse_file_info*) {
  reply_done(request, state_of(request).overlay.allocate(node, mode, static_cast<std::uint64_t>(offset),
                                                         static_cast<std::uint64_t>(size_bytes)));
}

// A folder as it was when it was opened.
using Listing = std::vector<Overlay::Named>;

void on_opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  auto names = state_of(request).overlay.list(node);
  if (!names) return reply_error(request, names.error());
  auto listing = std::make_unique<Listing>();
  listing->push_back({".", OverlayNodeKind::directory});
  listing->push_back({"..", OverlayNodeKind::directory});
  std::ranges::move(*names, std::back_inserter(*listing));
  file->fh = reinterpret_cast<std::uint64_t>(listing.get());
  if (fuse_reply_open(request, file) == 0) static_cast<void>(listing.release());
}

// With what a look-up of each name would tell: a server that starts looks at every file it has. What is listed
// counts as looked up, but for the folder itself and the one above.
void on_readdirplus(fuse_req_t request, fuse_ino_t folder, std::size_t size_bytes, off_t offset,
                    fuse_file_info* file) {
  auto& state = state_of(request);
  const auto& listing = *reinterpret_cast<const Listing*>(file->fh);
  Buffer buffer(size_bytes);
  std::vector<NodeId> looked_up;
  std::size_t used = 0;
  for (auto index = static_cast<std::size_t>(offset); index < listing.size(); ++index) {
    const auto& [name, kind] = listing[index];
    fuse_entry_param entry{};
    entry.attr.st_mode = type_of(kind);
    entry.attr.st_ino = std::numeric_limits<ino_t>::max();  // not known
    if (name != "." && name != "..") {
      const auto info = state.overlay.lookup(folder, name);
      if (info) {
        looked_up.push_back(info->node);
        entry = entry_of(state, *info);
      } else if (errno_of(info.error()) == ENOENT) {
        continue;  // it went since the folder was opened
      }
    }
    const auto size =
        fuse_add_direntry_plus(request, reinterpret_cast<char*>(buffer.data()) + used, size_bytes - used,
                               name.c_str(), &entry, static_cast<off_t>(index + 1));
    if (size > size_bytes - used) {
      if (entry.ino != 0) {
        state.overlay.forget(entry.ino, 1);
        looked_up.pop_back();
      }
      break;
    }
    used += size;
  }
  if (fuse_reply_buf(request, reinterpret_cast<const char*>(buffer.data()), used) == 0) return;
  for (const auto node : looked_up) state.overlay.forget(node, 1);
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete reinterpret_cast<const Listing*>(file->fh);
  fuse_reply_err(request, 0);
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs space {};
  if (::statvfs(state_of(request).options.mount_point.parent_path().c_str(), &space) != 0) {
    fuse_reply_err(request, errno);
    return;
  }
  fuse_reply_statfs(request, &space);
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops ops{};
  ops.init = on_init;
  ops.lookup = on_lookup;
  ops.forget = on_forget;
  ops.getattr = on_getattr;
  ops.setattr = on_setattr;
  ops.readlink = on_readlink;
  ops.mknod = on_mknod;
  ops.mkdir = on_mkdir;
  ops.symlink = on_symlink;
  ops.link = on_link;
  ops.unlink = on_unlink;
  ops.rmdir = on_rmdir;
  ops.rename = on_rename;
  ops.open = on_open;
  ops.read = on_read;
  ops.write = on_write;
  ops.fsync = on_fsync;
  ops.fsyncdir = on_fsync;
  ops.fallocate = on_fallocate;
  ops.opendir = on_opendir;
  ops.readdirplus = on_readdirplus;
  ops.releasedir = on_releasedir;
  ops.statfs = on_statfs;
  return ops;
}

}  // namespace

FuseMount::FuseMount(std::unique_ptr<State> state) : state_(std::move(state)) {}

FuseMount::~FuseMount() {
  if (state_->mounted) fuse_session_unmount(state_->session);
  if (state_->session != nullptr) fuse_session_destroy(state_->session);
}

Result<std::unique_ptr<FuseMount>> FuseMount::mount(Overlay& overlay, const FuseMountOptions& options) {
  PGS_CHECK(check_fuse());
  auto mount = std::unique_ptr<FuseMount>(new FuseMount(std::make_unique<State>(State{overlay, options})));
  State& state = *mount->state_;
  std::vector<std::string> words{"pgstrata", "-o", "fsname=pgstrata,subtype=pgstrata,default_permissions"};
  // Else not even root's own postgres may come in.
  if (::geteuid() == 0) words.back() += ",allow_other";
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());
  static const fuse_lowlevel_ops ops = operations();
  state.session = fuse_session_new(&args, &ops, sizeof ops, &state);
  fuse_opt_free_args(&args);
  if (state.session == nullptr) return fail(ErrorCode::failed, "could not make a FUSE session");
  if (fuse_session_mount(state.session, options.mount_point.c_str()) != 0) {
    return std::unexpected(make_error(ErrorCode::unsupported, "could not mount a FUSE file system on \"{}\"",
                                      options.mount_point.native())
                               .with_hint("Where FUSE is not allowed, `pgstrata restore` gives a native data "
                                          "directory instead."));
  }
  state.mounted = true;
  return mount;
}

Result<void> FuseMount::serve() {
  if (fuse_set_signal_handlers(state_->session) != 0)
    return fail(ErrorCode::failed, "could not set signal handlers");
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, threads_max);
  fuse_loop_cfg_set_idle_threads(config, threads_max);
  const int ended = fuse_session_loop_mt(state_->session, config);
  fuse_loop_cfg_destroy(config);
  fuse_remove_signal_handlers(state_->session);
  if (ended < 0) return fail(ErrorCode::failed, "the FUSE session ended: {}", std::strerror(-ended));
  return {};
}

}  // namespace pgstrata
