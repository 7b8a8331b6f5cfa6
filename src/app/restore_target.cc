#include "app/restore_target.h"

#include <sys/stat.h>

namespace pgstrata {
namespace {

namespace fs = std::filesystem;

Result<fs::path> own_program() {
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return std::unexpected(error_from_errno(error.value(), "find the program pgstrata"));
  return program;
}

// Recovery runs as the owner of the data directory and reads the repository as such; where root restores for
// another user, that user may not be able to.
Result<bool> recovery_cannot_read(const std::string& repository, const fs::path& directory) {
  PGS_TRY(const FileOwner owner, choose_owner(directory));
  if (!owner.change) return false;
  struct stat info {};
  if (stat(repository.c_str(), &info) != 0) {
    return std::unexpected(error_from_errno(errno, fmt::format("look at \"{}\"", repository)));
  }
  return info.st_uid != owner.user;
}

StartRestoredOptions start_options(const RestoreRequest& request) {
  StartRestoredOptions options;
  options.data_directory = request.directory;
  options.on_progress = request.on_start_progress;
  return options;
}

Result<RestoreClusterOptions> restore_options(const RestoreRequest& request) {
  RestoreClusterOptions options;
  options.files.data_directory = request.directory;
  options.files.tablespace_mappings = request.tablespaces;
  options.files.delta = request.delta;
  options.files.on_progress = request.on_progress;
  options.kit.repository = request.repository_location;
  PGS_TRY(options.kit.materialise_all, recovery_cannot_read(request.repository_location, request.directory));
  PGS_TRY(options.settings.program, own_program());
  options.settings.operator_settings = request.settings;
  options.add_missing_configuration = request.start;
  return options;
}

}  // namespace

Result<RestoreOutcome> restore_target(const Repository& repository, const RestoreRequest& request,
                                      const Cancellation& cancellation) {
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, request.cluster));
  RestoreOutcome outcome;
  PGS_TRY(outcome.plan, plan_recovery(cluster.space, cluster.record, request.target));
  std::optional<ServerInstallation> installation;
  if (request.start) {
    PGS_TRY(installation, installation_for(outcome.plan, request.directory));
  }
  if (request.on_plan) request.on_plan(outcome.plan);
  PGS_TRY(const RestoreClusterOptions options, restore_options(request));
  PGS_TRY(outcome.restored, restore_cluster(cluster.space, outcome.plan, options, cancellation));
  if (request.start) {
    auto started = start_restored(outcome.plan, *installation, start_options(request), cancellation);
    if (started) {
      outcome.started = *std::move(started);
    } else {
      outcome.start_error = std::move(started).error();
    }
  }
  return outcome;
}

}  // namespace pgstrata
