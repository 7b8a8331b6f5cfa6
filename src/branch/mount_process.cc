#include "branch/mount_process.h"

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "branch/branch_files.h"
#include "branch/fuse/fuse_mount.h"
#include "branch/mount_failure.h"
#include "branch/near_copies.h"
#include "branch/overlay.h"
#include "codec/digest.h"
#include "restore/target_directory.h"
#include "sys/process.h"
#include "sys/process_identity.h"
#include "sys/retry.h"

namespace pgstrata {
namespace {

using Json = nlohmann::json;
constexpr std::size_t ticket_limit_bytes = 64 * 1024;
constexpr std::size_t answer_limit_bytes = 64 * 1024;
constexpr std::string_view mounted_word = "mounted\n";
constexpr auto mount_stop_limit = std::chrono::seconds(60);
// What an earlier process has written may have to be synced first, and the repository may be slow.
constexpr auto mount_start_limit = std::chrono::minutes(10);

// What the process is given to read the repository with.
struct Ticket {
  std::string repository;
  std::string cluster;
  SecretKey key;
};

std::string encode_ticket(const std::string& repository, const ClusterSpace& space) {
  return Json{{"repository", repository}, {"cluster", space.name()}, {"key", to_hex(space.key().view())}}
      .dump();
}

Result<std::string> read_to_end(const FileDescriptor& file, std::size_t limit_bytes) {
  std::string text;
  Buffer part(4096);
  while (text.size() <= limit_bytes) {
    PGS_TRY(const auto got, read_some(file, part.whole()));
    if (got == 0) return text;
    text += as_text(ByteView(part.data(), got));
  }
  return fail(ErrorCode::usage, "too much on the standard input");
}

Result<Ticket> read_ticket() {
  FileDescriptor input(::dup(STDIN_FILENO));
  PGS_TRY(const auto text, read_to_end(input, ticket_limit_bytes));
  try {
    const auto json = Json::parse(text);
    PGS_TRY(const auto key_bytes, from_hex(json.at("key").get<std::string>()));
    PGS_TRY(auto key, SecretKey::from(key_bytes));
    return Ticket{json.at("repository"), json.at("cluster"), std::move(key)};
  } catch (const Json::exception&) {
    return std::unexpected(make_error(ErrorCode::usage, "this command is run by pgstrata itself")
                               .with_hint("Use `pgstrata branch start`."));
  }
}

// Every file that is written to is open for a while.
void allow_many_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<ProcessIdentity> identity_of(const BranchHome& home) {
  PGS_TRY(const auto text, read_file(home.mount_process(), 4096));
  return parse_process_identity(as_text(text));
}

Result<void> note_identity(const BranchHome& home) {
  PGS_TRY(const auto self, ProcessIdentity::self());
  return write_file(home.mount_process(), as_byte_view(to_string(self)));
}

bool is_alive(const BranchHome& home) {
  const auto identity = identity_of(home);
  return identity && identity->liveness() == Liveness::alive;
}

Result<void> wait_until_gone(const BranchHome& home, std::chrono::milliseconds limit) {
  if (wait_until([&] { return !is_alive(home); }, limit)) return {};
  return fail(ErrorCode::busy, "the process that serves \"{}\" does not end", home.mount_point().native());
}

Result<void> wait_for_words(const FileDescriptor& output, std::chrono::steady_clock::time_point deadline,
                            const Cancellation& cancellation) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  std::array<pollfd, 2> watched{{{output.get(), POLLIN, 0}, {cancellation.poll_fd(), POLLIN, 0}}};
  const int ready = retry_interrupted(
      [&] { return ::poll(watched.data(), watched.size(), static_cast<int>(std::max(left, 0L))); });
  if (ready < 0) return std::unexpected(error_from_errno(errno, "wait for the branch's files"));
  PGS_CHECK(cancellation.check());
  if (ready > 0) return {};
  return fail(ErrorCode::unavailable,
              "the process that serves the branch's files did not begin to within {} minutes",
              mount_start_limit.count());
}

// Its first words: that it serves, or why it does not.
Result<void> wait_until_mounted(ChildProcess& child, const BranchHome& home,
                                const Cancellation& cancellation) {
  const auto deadline = std::chrono::steady_clock::now() + mount_start_limit;
  std::string answer;
  Buffer part(4096);
  while (answer.size() < answer_limit_bytes && !answer.ends_with('\n')) {
    PGS_CHECK(wait_for_words(child.output(), deadline, cancellation));
    PGS_TRY(const auto got, read_some(child.output(), part.whole()));
    if (got == 0) break;
    answer += as_text(ByteView(part.data(), got));
  }
  if (answer == mounted_word) return {};
  PGS_TRY(const auto status, child.wait());
  try {
    const auto json = Json::parse(answer);
    auto error = Error(json.at("code").get<ErrorCode>(), json.at("message").get<std::string>());
    return std::unexpected(std::move(error).with_hint(json.at("hint").get<std::string>()));
  } catch (const Json::exception&) {
    return std::unexpected(
        make_error(ErrorCode::failed, "the process that serves the branch's files {}", status.describe())
            .with_hint(fmt::format("Its log is {}.", home.mount_log().native())));
  }
}

Result<void> say(std::string_view words) {
  FileDescriptor output(::dup(STDOUT_FILENO));
  PGS_CHECK(write_all(output, as_byte_view(words)));
  // Nobody listens any more; whoever waits for the end of this stream waits no longer.
  PGS_TRY(const auto nothing, open_file("/dev/null", O_WRONLY));
  ::dup2(nothing.get(), STDOUT_FILENO);
  return {};
}

struct Served {
  std::unique_ptr<ObjectStore> store;
  std::unique_ptr<NearStore> near;     // empty: the store is not far
  std::unique_ptr<SharedCache> cache;  // empty: this process has one of its own
  std::unique_ptr<BaseFiles> base;
  std::unique_ptr<Overlay> overlay;
  std::unique_ptr<FuseMount> mount;
};

// A roll's branch has a state folder of its own within that of all.
std::filesystem::path state_of_all(const BranchHome& home, const BranchRecord& record) {
  return record.disposable ? home.state_directory().parent_path() : home.state_directory();
}

std::unique_ptr<SharedCache> open_shared_cache(const ClusterSpace& space) {
  auto cache = SharedCache::open(std::filesystem::path("/dev/shm") / shared_name(space));
  if (cache) return *std::move(cache);
  log_warning("branches share no memory: {}", cache.error().describe());
  return nullptr;
}

Result<Served> prepare(const BranchHome& home, const OpenBranchStore& open_store) {
  PGS_TRY(const auto ticket, read_ticket());
  PGS_TRY(const auto record, get_branch_record(home));
  Served served;
  PGS_TRY(served.store, open_store(ticket.repository));
  const ClusterSpace there(*served.store, ticket.cluster, ticket.key);
  served.near = open_near_copies(there, state_of_all(home, record));
  const auto space = served.near ? ClusterSpace(*served.near, ticket.cluster, ticket.key) : there;
  PGS_TRY(const auto snapshot, get_snapshot(space, record.snapshot));
  served.cache = open_shared_cache(space);
  served.base = open_branch_files(open_snapshot_files(space, snapshot, {.shared = served.cache.get()}),
                                  open_wal_files(space, {record.wal_segment_bytes, record.end_lsn,
                                                         record.sealed_wal, record.wal_patches}));
  const auto durability = record.disposable ? Durability::disposable : Durability::kept;
  PGS_TRY(served.overlay, Overlay::open(home.overlay(), *served.base, {.durability = durability}));
  PGS_TRY(const auto owner, choose_owner(home.socket_folder()));
  // The root, so that nobody puts something else in the place of what is there. And the WAL: in a mount that
  // somebody has detached, data/pg_wal leads here and no longer to the WAL beside it, where a new segment
  // would be written that no other server ever sees.
  PGS_TRY(const auto wal, served.overlay->lookup(root_node, std::string(branch_wal_folder)));
  PGS_TRY(served.mount, FuseMount::mount(*served.overlay, {.mount_point = home.mount_point(),
                                                           .user = owner.user,
                                                           .group = owner.group,
                                                           .fixed_folders = {root_node, wal.node}}));
  return served;
}

}  // namespace

Result<void> run_mount_process(const BranchHome& home, const OpenBranchStore& open_store) {
  log_info("{}", mount_begins_words);
  allow_many_open_files();
  PGS_CHECK(note_identity(home));
  auto served = prepare(home, open_store);
  if (!served) {
    const auto& error = served.error();
    PGS_CHECK(say(Json{{"code", error.code()}, {"message", error.describe()}, {"hint", error.hint()}}.dump() +
                  "\n"));
    return std::unexpected(error);
  }
  PGS_CHECK(say(mounted_word));
  const auto ended = served->mount->serve();
  PGS_CHECK(served->overlay->sync_all());
  return ended;
}

Result<void> start_mount_process(const BranchHome& home, const std::string& repository,
                                 const ClusterSpace& space, const Cancellation& cancellation) {
  PGS_CHECK(check_fuse());
  PGS_CHECK(stop_mount_process(home, true));
  PGS_TRY(const auto program, own_program());
  ProcessOptions options;
  options.arguments = {program.native(), "mount-branch", home.path().native()};
  // With what a store in S3 is asked by.
  options.inherited_environment =
      std::vector<std::string>{"PATH",        "HOME",      "LANG",       "LC_*",       "TZ",
                               "TMPDIR",      "AWS_*",     "SSL_CERT_*", "http_proxy", "https_proxy",
                               "HTTPS_PROXY", "all_proxy", "ALL_PROXY",  "no_proxy",   "NO_PROXY"};
  options.working_directory = "/";
  options.new_session = true;
  options.input = Redirect::pipe();
  options.output = Redirect::pipe();
  options.errors = Redirect::append(home.mount_log());
  PGS_TRY(auto child, ChildProcess::spawn(options));
  PGS_CHECK(write_all(child.input(), as_byte_view(encode_ticket(repository, space))));
  child.input().close();
  PGS_CHECK(wait_until_mounted(child, home, cancellation));
  child.detach();
  return {};
}

Result<bool> mount_process_runs(const BranchHome& home) {
  if (!is_alive(home)) return false;
  return is_fuse_mounted(home.mount_point());
}

Result<void> stop_mount_process(const BranchHome& home, bool force) {
  PGS_CHECK(unmount_fuse(home.mount_point(), force));
  if (!force) return wait_until_gone(home, mount_stop_limit);
  // It ends by itself, once nobody uses what was detached.
  if (wait_until_gone(home, std::chrono::seconds(5))) return {};
  const auto identity = identity_of(home);
  if (identity && identity->liveness() == Liveness::alive) ::kill(identity->pid, SIGKILL);
  return wait_until_gone(home, mount_stop_limit);
}

}  // namespace pgstrata
