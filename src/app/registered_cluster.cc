#include "app/registered_cluster.h"

#include "base/log.h"

namespace pgstrata {

Result<RegisteredCluster> open_registered_cluster(const Repository& repository, std::string_view name) {
  PGS_TRY(ClusterSpace space, repository.open_cluster(name));
  auto record = get_cluster_record(space);
  if (!record.has_value()) {
    if (record.error().code() != ErrorCode::not_found) return std::unexpected(std::move(record).error());
    return std::unexpected(
        make_error(ErrorCode::not_found,
                   "cluster {} is not registered: its `add` did not finish, or clusters/{}/cluster is gone",
                   name, name)
            .with_hint(fmt::format("Run `pgstrata add {} --url ...` again.", name)));
  }
  return RegisteredCluster{.space = std::move(space), .record = *std::move(record)};
}

void warn_where_one_must_write(const ObjectStore& store) {
  if (store.capabilities().conditional_writes) return;
  log_warning("the server of {} ignores conditional writes: only one machine may write into this repository",
              store.describe());
}

Result<ConnectionUrl> source_url(const ClusterRecord& record, const std::optional<std::string>& url) {
  return ConnectionUrl::parse(url ? *url : record.connection);
}

}  // namespace pgstrata
