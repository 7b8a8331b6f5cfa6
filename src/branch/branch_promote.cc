#include "branch/branch_promote.h"

#include "base/log.h"
#include "branch/branch_copy.h"
#include "branch/branch_setup.h"
#include "branch/compute_questions.h"
#include "branch/compute_settings.h"
#include "branch/left_server.h"
#include "branch/mount_process.h"
#include "pg/format/control_file.h"
#include "restore/batch_producer.h"
#include "restore/recovery_settings.h"
#include "restore/restored_configuration.h"
#include "snapshot/file_tree_reader.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr auto switch_stop_limit = std::chrono::minutes(5);
constexpr auto unopened_stop_limit = std::chrono::seconds(60);
constexpr std::string_view promote_log_name = "pgstrata_promote.log";
constexpr std::string_view auto_conf = "postgresql.auto.conf";
constexpr std::size_t configuration_limit_bytes = 16U << 20;

std::string quoted_setting(std::string_view value) {
  std::string text = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') text += c;
    text += c;
  }
  return text + "'";
}

// What the branch's server was told on its command line.
std::string settings_block(const BranchRecord& record, const PromotionOptions& options,
                           const std::optional<std::string>& libraries) {
  std::string block = fmt::format(
      "\n# From branch {} of {}, by `pgstrata branch promote`. This server takes no part yet in what the\n"
      "# source does with others: archive, standbys, subscriptions, jobs. Once it takes its place, ALTER "
      "SYSTEM\n"
      "# RESET archive_mode and the like.\n",
      record.name, record.cluster);
  const auto set = [&](std::string_view name, std::string_view value) {
    block += fmt::format("{} = {}\n", name, quoted_setting(value));
  };
  for (const auto& [name, value] : isolation_settings(record.server_version / 10000)) set(name, value);
  if (libraries) set("shared_preload_libraries", *libraries);
  set("ssl", "off");
  set("listen_addresses", "localhost");
  for (const auto& [name, value] : record.settings) set(name, value);
  set("port", std::to_string(record.port));
  for (const auto& [name, value] : options.settings) set(name, value);
  return block;
}

// One promotion, from the first copy to the last.
class BranchPromotion {
 public:
  BranchPromotion(const ClusterSpace& space, const BranchHome& home, const PromotionOptions& options,
                  const Cancellation& cancellation)
      : space_(space), home_(home), options_(options), cancellation_(cancellation) {}

  Result<PromotedBranch> run() {
    PGS_TRY(promoted_.record, get_branch_record(home_));
    PGS_CHECK(check());
    PGS_TRY(installation_, ServerInstallation::find(static_cast<int>(record().server_version / 10000)));
    PGS_CHECK(serve());
    auto done = copy_and_switch();
    if (!done) {
      serve_again();
      return std::unexpected(std::move(done).error());
    }
    if (const auto gone = remove_branch(home_); !gone) {
      log_warning("what is left of branch \"{}\" could not be taken away: {}", record().name,
                  gone.error().describe());
    }
    return std::move(promoted_);
  }

 private:
  BranchRecord& record() { return promoted_.record; }

  Result<void> check() {
    if (record().read_only) {
      return std::unexpected(
          make_error(ErrorCode::usage, "branch \"{}\" is read-only", record().name)
              .with_hint("Open one at the same moment without --read-only, or use `pgstrata restore`."));
    }
    if (!record().recovered || !record().promoted_to.empty()) {
      return std::unexpected(
          make_error(ErrorCode::failed, "branch \"{}\" {}", record().name,
                     record().recovered ? "was promoted already" : "never came to its moment")
              .with_hint(record().recovered ? "`pgstrata branch delete` takes away what is left of it."
                                            : "Start it first: `pgstrata branch start`."));
    }
    return {};
  }

  Result<void> serve() {
    PGS_TRY(const bool serves, branch_serves(home_, {}, cancellation_));
    if (serves) return {};
    return bring_branch_back(space_, home_, record(), *installation_, {}, cancellation_);
  }

  void serve_again() {
    if (!stopped_) return;
    const auto again = [this]() -> Result<void> {
      record().promoted_to.clear();
      PGS_CHECK(put_branch_record(home_, record()));
      const Cancellation never;  // also when it was cancelled: it leaves the branch as it was
      return bring_branch_back(space_, home_, record(), *installation_, {}, never);
    }();
    if (!again)
      log_warning("branch \"{}\" does not serve again: {}", record().name, again.error().describe());
  }

  Result<void> copy_and_switch() {
    PGS_TRY(const auto snapshot, get_snapshot(space_, record().snapshot));
    RestoreFilesOptions files;
    files.data_directory = options_.directory;
    files.tablespace_mappings = options_.tablespace_mappings;
    files.on_progress = options_.on_progress;
    files.become = [this](const RestoreLayout& layout) { return become(layout); };
    PGS_TRY(files.grown_bytes, grown_bytes(snapshot));
    PGS_TRY(promoted_.files, restore_files(space_, snapshot, files, cancellation_));
    record().promoted_to = options_.directory.native();
    PGS_CHECK(put_branch_record(home_, record()));
    if (options_.start) PGS_CHECK(start());
    return {};
  }

  // What its data directory takes more than the snapshot's does. Tablespaces are not looked at.
  Result<std::uint64_t> grown_bytes(const SnapshotRecord& snapshot) const {
    PGS_TRY(const auto wal_bytes, allocated_bytes(home_.wal()));
    PGS_TRY(const auto bytes, allocated_bytes(home_.data()));
    std::uint64_t before = 0;
    FileTreeReader tree(space_, snapshot.tree);
    PGS_CHECK(tree.for_each([&](const FileEntry& entry) -> Result<void> {
      if (!entry.path.starts_with("pg_tblspc/")) before += entry.size_bytes;
      return {};
    }));
    return wal_bytes + bytes - std::min(bytes, before);
  }

  Result<Bytes> become(const RestoreLayout& layout) {
    PGS_CHECK(copy("while it serves", layout));
    PGS_CHECK(checkpoint());
    PGS_CHECK(copy("again", layout));
    PGS_CHECK(sync(layout));
    PGS_CHECK(cancellation_.check());
    stopped_at_ = std::chrono::steady_clock::now();
    stopped_ = true;
    PGS_CHECK(stop_compute(home_, StopMode::fast, switch_stop_limit));
    PGS_CHECK(end_left_server(home_));
    PGS_CHECK(copy("what was left", layout));
    PGS_TRY(auto control_bytes, read_regular_file(home_.data() / control_file_path, 65536));
    PGS_TRY(const auto control, parse_control_file(control_bytes));
    if (control.state != ClusterState::shut_down)
      return fail(ErrorCode::failed, "the branch's server did not shut down in order");
    PGS_CHECK(write_configuration(layout.data(), control));
    return control_bytes;
  }

  Result<void> copy(std::string_view when, const RestoreLayout& layout) {
    PGS_TRY(const auto copied, copy_changes(home_, layout, cancellation_));
    log_debug("copied {}: {} bytes of {}", when, copied.written_bytes, copied.compared_bytes);
    return {};
  }

  // So that the last one is short.
  Result<void> checkpoint() {
    PGS_TRY(auto connection, connect_to_compute(home_, record(), cancellation_));
    PGS_CHECK(connection.query("SET statement_timeout = 0"));
    PGS_CHECK(connection.query("CHECKPOINT"));
    return {};
  }

  static Result<void> sync(const RestoreLayout& layout) {
    PGS_CHECK(layout.data().sync());
    for (const auto& [oid, directory] : layout.tablespaces()) PGS_CHECK(directory.sync());
    return {};
  }

  Result<void> write_configuration(const TargetDirectory& data, const ControlFile& control) {
    const auto rules = data.stat("pg_hba.conf");
    if (!rules && rules.error().code() == ErrorCode::not_found) {
      PGS_CHECK(data.write("pg_hba.conf",
                           as_byte_view("# The branch's: over TCP the roles and passwords are the source's.\n"
                                        "local all all peer\nhost all all all md5\n")));
    }
    PGS_CHECK(write_missing_configuration(data, control));
    std::string text;
    if (const auto old = data.read(auto_conf, configuration_limit_bytes)) text = as_text(*old);
    PGS_TRY(const auto libraries, other_libraries(home_, record(), *installation_));
    text += settings_block(record(), options_, libraries);
    PGS_CHECK(data.write(auto_conf, as_byte_view(text)));
    for (const auto& warning : warn_of_places_elsewhere(data, read_configuration(data, text)))
      log_warning("{}", warning);
    PGS_TRY(log_, data.open_file(promote_log_name, O_WRONLY | O_CREAT | O_APPEND));
    return {};
  }

  Result<void> start() {
    ServerOptions server_options;
    server_options.data_directory = options_.directory;
    server_options.log_file = options_.directory / promote_log_name;
    server_options.opened_log = &log_;
    PGS_TRY(auto server, ServerInstance::start(*installation_, server_options));
    const auto open = server.wait_for_phase(ServerPhase::accepts_writes, options_.start_limit, cancellation_);
    if (!open) {
      PGS_CHECK(server.stop(StopMode::fast, unopened_stop_limit));
      auto error = open.error();
      const auto advice = advice_for(error.describe());
      auto hint =
          fmt::format("\"{}\" is whole and was not opened; the branch serves again. {}{}",
                      options_.directory.native(), advice.empty() ? advice : advice + " ", error.hint());
      return std::unexpected(std::move(error).with_hint(std::move(hint)));
    }
    promoted_.interruption =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - stopped_at_);
    promoted_.process = server.pid();
    promoted_.log_file = server_options.log_file;
    if (auto url = server.url(record().superuser, "postgres")) promoted_.url = *std::move(url);
    server.leave_running();
    return {};
  }

  const ClusterSpace& space_;
  const BranchHome& home_;
  const PromotionOptions& options_;
  const Cancellation& cancellation_;
  PromotedBranch promoted_;
  std::optional<ServerInstallation> installation_;
  FileDescriptor log_;
  bool stopped_ = false;
  std::chrono::steady_clock::time_point stopped_at_;
};

}  // namespace

Result<PromotedBranch> promote_branch(const ClusterSpace& space, const BranchHome& home,
                                      const PromotionOptions& options, const Cancellation& cancellation) {
  PGS_TRY(const auto lock, lock_branch(home));
  return BranchPromotion(space, home, options, cancellation).run();
}

}  // namespace pgstrata
