#include "branch/compute_settings.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <unistd.h>

#include "branch/compute.h"
#include "restore/restored_configuration.h"
#include "sys/files.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

using Setting = std::pair<std::string, std::string>;

constexpr auto libraries_limit = std::chrono::seconds(30);
constexpr std::uint64_t shared_buffers_max_bytes = 512ULL << 20;

// Replay goes twice as fast with room for the pages it changes; what is not used is not taken.
std::string shared_buffers() {
  const auto memory = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return fmt::format("{}kB", std::min(shared_buffers_max_bytes, memory / 8) / 1024);
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

}  // namespace

std::string without_reaching_libraries(std::string_view libraries) {
  // pg_cron runs a job at the address that was noted with it: the source. pglogical's subscriptions go on.
  constexpr std::array<std::string_view, 2> reaching{"pg_cron", "pglogical"};
  constexpr std::string_view blanks_and_quotes = " \t\n\r\f\v\"";
  std::string kept;
  while (!libraries.empty()) {
    const auto size = std::min(libraries.find(','), libraries.size());
    const auto part = libraries.substr(0, size);
    libraries.remove_prefix(std::min(size + 1, libraries.size()));
    auto name = part.substr(std::min(part.find_first_not_of(blanks_and_quotes), part.size()));
    name = name.substr(0, name.find_last_not_of(blanks_and_quotes) + 1);
    name = name.substr(name.rfind('/') + 1);
    if (name.ends_with(".so")) name.remove_suffix(3);
    if (std::ranges::find(reaching, name) != reaching.end()) continue;
    if (!kept.empty()) kept += ",";
    kept += part;
  }
  return kept;
}

// Follow or feed other servers, write into the source's archive, wait for its standbys, stop anywhere but at
// the branch's moment.
std::vector<Setting> isolation_settings(std::uint32_t major) {
  std::vector<Setting> settings;
  for (const auto* name : {"primary_conninfo", "primary_slot_name", "restore_command", "recovery_end_command",
                           "archive_cleanup_command", "archive_command", "recovery_target",
                           "recovery_target_time", "recovery_target_lsn", "recovery_target_xid",
                           "recovery_target_name", "synchronous_standby_names", "external_pid_file"}) {
    settings.emplace_back(name, "");
  }
  settings.emplace_back("archive_mode", "off");
  settings.emplace_back("recovery_min_apply_delay", "0");
  settings.emplace_back("max_logical_replication_workers", "0");  // no subscription of the source's goes on
  settings.emplace_back("citus.recover_2pc_interval", "-1");      // nor what Citus prepared on its workers
  // The other majors know of it no longer, and would not start.
  if (major < 16) settings.emplace_back("promote_trigger_file", "");
  if (major < 15) settings.emplace_back("stats_temp_directory", "pg_stat_tmp");  // the source's may be in use
  return settings;
}

namespace {

// What files outside of the data directory have to do with it only the server itself can say.
Result<std::string> ask_for_libraries(const BranchHome& home, const BranchRecord& record,
                                      const ServerInstallation& installation) {
  PGS_TRY(const auto postgres, installation.program("postgres"));
  ProcessOptions command;
  command.arguments = {postgres.native(), "-D", home.data().native(), "-C", "shared_preload_libraries"};
  command.working_directory = "/";
  if (::geteuid() == 0) command.user = record.user;
  // What it includes may be a FIFO.
  Cancellation limit;
  const std::jthread clock([&](const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any().wait_for(lock, stop, libraries_limit, [] { return false; });
    if (!stop.stop_requested()) limit.request();
  });
  const auto answer = run_command(std::move(command), {.cancellation = &limit});
  if (!answer && answer.error().code() == ErrorCode::cancelled) {
    return fail(ErrorCode::unavailable, "PostgreSQL did not say within {} s what it preloads on \"{}\"",
                libraries_limit.count(), home.data().native());
  }
  PGS_CHECK(answer);
  if (!answer->status.success()) return "";  // it says why when it is started
  const auto text = as_text(answer->output);
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace

Result<std::optional<std::string>> other_libraries(const BranchHome& home, const BranchRecord& record,
                                                   const ServerInstallation& installation) {
  PGS_TRY(const auto data, TargetDirectory::open(home.data(), {}));
  const auto values = read_configuration(data);
  const auto found = values.find("shared_preload_libraries");
  std::string libraries = found == values.end() ? "" : found->second;
  if (!is_configuration_whole(data)) {
    PGS_TRY(libraries, ask_for_libraries(home, record, installation));
  }
  auto kept = without_reaching_libraries(libraries);
  if (kept == libraries) return std::optional<std::string>();
  return std::optional(std::move(kept));
}

Result<ServerOptions> compute_options(const BranchHome& home, const BranchRecord& record,
                                      const ServerInstallation& installation, bool recovering) {
  ServerOptions options;
  options.data_directory = home.data();
  options.user = record.user;
  options.log_file = home.server_log();
  options.socket_directory = home.socket_folder();
  options.port = record.port;
  auto& settings = options.settings;
  settings = isolation_settings(record.server_version / 10000);
  const auto own_configuration = file_exists(home.data() / "postgresql.conf");
  if (!own_configuration || !*own_configuration)
    settings.emplace_back("config_file", (home.path() / "postgresql.conf").native());
  settings.emplace_back("hba_file", (home.path() / "pg_hba.conf").native());
  settings.emplace_back("ident_file", (home.path() / "pg_ident.conf").native());
  settings.emplace_back("cluster_name", fmt::format("{}/{}", record.cluster, record.name));
  PGS_TRY(auto libraries, other_libraries(home, record, installation));
  if (libraries) settings.emplace_back("shared_preload_libraries", *std::move(libraries));
  settings.emplace_back("listen_addresses", "localhost");
  settings.emplace_back("ssl", "off");  // its certificates are the source's, and not always here
  settings.emplace_back("logging_collector", "off");
  settings.emplace_back("log_destination", "stderr");
  settings.emplace_back("shared_buffers", shared_buffers());
  // What the source reserves when it starts may be more than there is here.
  settings.emplace_back("huge_pages", "try");
  if (record.server_version / 10000 >= 14) settings.emplace_back("min_dynamic_shared_memory", "0");
  // By itself it would be 16 MiB, which take longer to clear than they ever save here.
  settings.emplace_back("wal_buffers", "4MB");
  settings.emplace_back("full_page_writes",
                        "on");           // what a write-back lost, or did by half, comes back from them
  settings.emplace_back("fsync", "on");  // the death of its file system is to cost nothing it acknowledged
  // A later advance would take an old segment under a new name for the one that it needs.
  if (record.read_only) settings.emplace_back("wal_recycle", "off");
  // Recovery begins at a checkpoint, and the first change of a page since then has all of it: what is fetched
  // ahead is read, decrypted and then written over.
  if (record.server_version / 10000 >= 15) settings.emplace_back("recovery_prefetch", "off");
  settings.emplace_back("recovery_target_timeline", std::to_string(record.timeline.value));
  settings.emplace_back("hot_standby", recovering && !record.read_only ? "off" : "on");
  settings.emplace_back("wal_retrieve_retry_interval", "100ms");
  settings.insert(settings.end(), record.settings.begin(), record.settings.end());
  return options;
}

std::string advice_for(std::string_view words) {
  const auto says = [&](std::string_view part) { return words.find(part) != std::string_view::npos; };
  if (says("could not access file") || says("could not load library")) {
    return "The source loads a library (shared_preload_libraries) that this machine lacks: install the "
           "extension's package, or create the branch with `--set shared_preload_libraries=`.";
  }
  if (says("could not create lock file")) {
    return "The folder for its socket is missing or not its own: choose one with `--set "
           "unix_socket_directories=DIR`.";
  }
  if (says("could not bind") || says("could not create any TCP/IP sockets") ||
      says("already running on port"))
    return "Another server has the branch's port: choose one with `--set port=NUMBER`.";
  if (says("incompatible with operating system") || says("is not recognized by setlocale") ||
      says("invalid value for parameter \"lc_")) {
    return "The source has a locale that this machine lacks: install it (`localedef`, or Debian's package "
           "locales-all).";
  }
  if (says("unrecognized configuration parameter"))
    return "The source's configuration is not this PostgreSQL's; `--set` wins over it, but knows no more.";
  return {};
}

std::string socket_url(const BranchHome& home, const BranchRecord& record) {
  return fmt::format("postgresql://{}@/postgres?host={}&port={}", percent_encoded(record.superuser),
                     percent_encoded(home.socket_folder().native()), record.port);
}

std::string tcp_url(const BranchRecord& record) {
  return fmt::format("postgresql://localhost:{}/postgres", record.port);
}

}  // namespace pgstrata
