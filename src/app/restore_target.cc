#include "app/restore_target.h"

#include <array>

#include "app/reading_hold.h"
#include "app/repository_access.h"
#include "app/target_plan.h"
#include "catalog/wal_inventory.h"
#include "sys/file_access.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

// As recovery will: through the repository's path, a byte of each sealed segment.
Result<void> read_all_segments(const std::string& location, const ClusterSpace& space,
                               const RecoveryPlan& plan, const WalInventory& inventory,
                               const Cancellation& cancellation) {
  PGS_TRY(const auto store, open_store(location));
  for (const auto& segment : plan.segments) {
    PGS_CHECK(cancellation.check());
    const auto* objects = inventory.find(segment.timeline, segment.start);
    if (objects == nullptr || objects->sealed.empty()) continue;
    std::array<std::byte, 1> first{};
    PGS_CHECK(store->read(space.object_name(objects->sealed), 0, first));
  }
  return {};
}

// Recovery runs as the owner of the data directory and reads the repository as such; where root restores for
// another user, that user may not be able to, be it one object that root wrote.
Result<bool> recovery_can_read(const RestoreRequest& request, const ClusterSpace& space,
                               const RecoveryPlan& plan, const Cancellation& cancellation) {
  // Our access keys are not the server's, and are none to leave lying beside its data.
  if (is_s3_location(request.repository_location)) return false;
  PGS_TRY(const FileOwner owner, choose_owner(request.directory));
  if (!owner.change) return true;
  PGS_TRY(const auto inventory, WalInventory::load(space, plan.wal_segment_bytes));
  const auto tried = with_file_access_of(owner.name, [&] {
    return read_all_segments(request.repository_location, space, plan, inventory, cancellation);
  });
  PGS_CHECK(cancellation.check());
  // Whatever else it was, who writes the WAL out will meet it and say so.
  return tried.has_value();
}

// On what a restore reads, for as long as it takes.
class RestoreHold {
 public:
  static Result<RestoreHold> take(const ClusterSpace& space, const RecoveryPlan& plan,
                                  const std::filesystem::path& directory) {
    constexpr std::chrono::hours longest{7 * 24};
    PGS_TRY(auto id, hold_plan(space, plan, HoldKind::restore, restore_hold_reason(directory),
                               system_clock().now() + longest));
    return RestoreHold(space, std::move(id));
  }
  ~RestoreHold() { release_hold(space_.store(), space_.name(), id_); }
  RestoreHold(RestoreHold&& other) noexcept : space_(other.space_), id_(std::exchange(other.id_, {})) {}
  RestoreHold(const RestoreHold&) = delete;
  RestoreHold& operator=(const RestoreHold&) = delete;
  RestoreHold& operator=(RestoreHold&&) = delete;

  // Until it ends by itself.
  void leave() { id_.clear(); }

 private:
  RestoreHold(const ClusterSpace& space, std::string id) : space_(space), id_(std::move(id)) {}

  const ClusterSpace& space_;
  std::string id_;
};

StartRestoredOptions start_options(const RestoreRequest& request, const RecoveryPlan& plan) {
  StartRestoredOptions options;
  options.data_directory = request.directory;
  options.pauses = plan.stop && action_at_target(request.settings) == AtTarget::pause;
  options.on_progress = request.on_start_progress;
  return options;
}

Result<RestoreClusterOptions> restore_options(const RestoreRequest& request, bool materialise_wal) {
  RestoreClusterOptions options;
  options.files.data_directory = request.directory;
  options.files.tablespace_mappings = request.tablespaces;
  options.files.delta = request.delta;
  options.files.on_progress = request.on_progress;
  options.kit.repository = request.repository_location;
  options.kit.materialise_all = materialise_wal;
  PGS_TRY(options.settings.program, own_program());
  options.settings.operator_settings = request.settings;
  return options;
}

// PostgreSQL's words for a folder in which it cannot make its socket, and for a port that another server has,
// by TCP or by its socket.
Error point_to_address(Error error) {
  const std::string text = error.describe();
  const auto says = [&](std::string_view words) { return text.find(words) != std::string::npos; };
  if (says("could not create lock file") && !says("File exists") && says(".s.PGSQL.")) {
    auto hint =
        "The folder for its socket is missing or not its own: choose one with `--set "
        "unix_socket_directories=DIR`; the same command with that and --delta goes on from what is there. " +
        error.hint();
    return std::move(error).with_hint(std::move(hint));
  }
  if (!says("could not create any TCP/IP sockets") && !says("Address already in use") && !says(".s.PGSQL.")) {
    return error;
  }
  auto hint =
      "Another server has that port: choose one with `--set port=NUMBER`; the same command with that and "
      "--delta goes on from what is there. " +
      error.hint();
  return std::move(error).with_hint(std::move(hint));
}

}  // namespace

Result<RestoreOutcome> restore_target(const Repository& repository, const RestoreRequest& request,
                                      const Cancellation& cancellation) {
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, request.cluster));
  RestoreOutcome outcome;
  PGS_TRY(outcome.plan, plan_target(cluster, request.target, WalReading::beforehand, cancellation));
  std::optional<ServerInstallation> installation;
  if (request.start) {
    PGS_TRY(installation, installation_for(outcome.plan, request.directory));
  }
  if (request.on_plan) request.on_plan(outcome.plan);
  PGS_TRY(const bool readable, recovery_can_read(request, cluster.space, outcome.plan, cancellation));
  PGS_TRY(const RestoreClusterOptions options, restore_options(request, !readable));
  PGS_TRY(RestoreHold hold, RestoreHold::take(cluster.space, outcome.plan, request.directory));
  PGS_TRY(outcome.restored, restore_cluster(cluster.space, outcome.plan, options, cancellation));
  if (request.start) {
    auto started =
        start_restored(outcome.plan, *installation, start_options(request, outcome.plan), cancellation);
    if (started) {
      outcome.started = *std::move(started);
    } else {
      outcome.start_error = point_to_address(std::move(started).error());
    }
  }
  // Recovery may still have to fetch its WAL, when somebody starts the server.
  if (readable && !outcome.started) hold.leave();
  return outcome;
}

}  // namespace pgstrata
