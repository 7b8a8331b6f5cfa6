// restore_command: hands one file to PostgreSQL's recovery, out of a recovery kit.
//
// What PostgreSQL makes of the exit code (src/backend/access/transam/xlogarchive.c, RestoreArchivedFile, with
// wait_result_is_any_signal of src/common/wait_error.c): 0, the file is at the destination; 1 to 125, there
// is no such file: recovery looks for another timeline or takes this for the end of the WAL, and may open the
// cluster; above 125, or a signal: FATAL, recovery stops and the cluster stays closed. So "not in the kit" is
// 1, and everything that went wrong is above 125: damage or a repository that does not answer must never pass
// for the end of the WAL.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "restore/recovery_kit.h"
#include "storage/object_store.h"

namespace pgstrata {

inline constexpr int wal_fetch_done = 0;
inline constexpr int wal_fetch_not_there = 1;
inline constexpr int wal_fetch_failed = 200;

// Opens the store at a location as the kit has it.
using OpenStore = std::function<Result<std::unique_ptr<ObjectStore>>(const std::string& location)>;

struct WalFetchOptions {
  std::size_t read_ahead_segments = 8;  // 0: none
  std::chrono::seconds idle_limit{60};  // after which read-ahead ends
};

// The body of `pgstrata wal-fetch --kit KIT NAME DESTINATION`; relative paths are the server's working
// directory, which is the data directory. Returns the exit code; errors were logged. Starts read-ahead in a
// process of its own, unless one is at work: call it from a program with one thread.
[[nodiscard]] int wal_fetch(const std::filesystem::path& kit, const std::string& name,
                            const std::filesystem::path& destination, const OpenStore& open_store,
                            const WalFetchOptions& options = {});

// The same without read-ahead. True when the file is at the destination, false when the kit does not have it.
[[nodiscard]] Result<bool> fetch_wal_file(const std::filesystem::path& kit, const std::string& name,
                                          const std::filesystem::path& destination,
                                          const OpenStore& open_store);

}  // namespace pgstrata
