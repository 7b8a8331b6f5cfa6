#include "restore/wal_fetch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "pg/format/wal_name.h"
#include "restore/wal_spool.h"

namespace pgstrata {
namespace {

// In a process that nobody waits for and that holds nothing of this one's: the server waits for the end of
// its command's output.
void start_read_ahead(const std::filesystem::path& kit, const OpenStore& open_store,
                      const WalFetchOptions& options) {
  const pid_t child = ::fork();
  if (child < 0) return;  // it is slower without
  if (child > 0) {
    ::waitpid(child, nullptr, 0);
    return;
  }
  if (::setsid() < 0 || ::fork() != 0) ::_exit(0);
  const int nowhere = ::open("/dev/null", O_RDWR);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, stream);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  (void)run_read_ahead(kit, open_store, options);  // what it cannot read, wal_fetch will meet and tell
  ::_exit(0);
}

}  // namespace

Result<bool> fetch_wal_file(const std::filesystem::path& kit, const std::string& name,
                            const std::filesystem::path& destination, const OpenStore& open_store) {
  PGS_TRY(const auto spool, WalSpool::open(kit));
  const auto index = spool.find(name);
  if (index) PGS_CHECK(spool.set_position(*index));
  if (index || parse_timeline_history_name(name)) {
    PGS_TRY(const bool taken, spool.take(name, destination));
    if (taken) return true;
  }
  if (!index) return false;
  const auto& segment = spool.kit().segments[*index];
  if (!segment.pack_key)
    return fail(ErrorCode::damaged, "{} is missing from the spool of the recovery kit", name);
  PGS_TRY(const auto store, open_store(spool.kit().repository));
  PGS_CHECK(spool.read_segment(*store, segment, destination));
  return true;
}

int wal_fetch(const std::filesystem::path& kit, const std::string& name,
              const std::filesystem::path& destination, const OpenStore& open_store,
              const WalFetchOptions& options) {
  const auto fetched = fetch_wal_file(kit, name, destination, open_store);
  if (!fetched) {
    log_error("recovery cannot go on: could not fetch {}: {}", name, fetched.error().describe());
    return wal_fetch_failed;
  }
  if (!*fetched) return wal_fetch_not_there;
  if (options.read_ahead_segments > 0 && !parse_timeline_history_name(name))
    start_read_ahead(kit, open_store, options);
  return wal_fetch_done;
}

}  // namespace pgstrata
