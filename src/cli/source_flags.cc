#include "cli/source_flags.h"

namespace pgstrata {

void add_source_flags(CLI::App& command, SourceFlags& flags) {
  add_cluster_argument(command, flags.cluster);
  command.add_option("--url", flags.url, "another way to the source than the one registered")
      ->type_name("URL");
}

Result<SourceWork> source_work(const CommandContext& context, const Repository& repository,
                               const SourceFlags& flags) {
  PGS_TRY(RegisteredCluster cluster, open_registered_cluster(repository, flags.cluster));
  PGS_TRY(ConnectionUrl url, source_url(cluster.record, flags.url));
  return SourceWork{.cluster = std::move(cluster),
                    .url = std::move(url),
                    .clock = context.clock,
                    .cancellation = context.cancellation};
}

}  // namespace pgstrata
