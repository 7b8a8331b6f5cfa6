#include "cli/source_flags.h"

namespace pgstrata {
namespace {

SourceStanding standing_of(const SourceFlags& flags) {
  if (flags.new_primary) return SourceStanding::declared;
  return flags.url ? SourceStanding::unproven : SourceStanding::registered;
}

}  // namespace

void add_source_flags(CLI::App& command, SourceFlags& flags) {
  add_cluster_argument(command, flags.cluster);
  command.add_option("--url", flags.url, "another way to the source than the one registered")
      ->type_name("URL");
  command.add_flag("--new-primary", flags.new_primary,
                   "the server has taken the primary's place: follow it to its timeline, also back to one "
                   "that was left");
}

Result<SourceWork> source_work(const CommandContext& context, const Repository& repository,
                               const SourceFlags& flags) {
  PGS_TRY(RegisteredCluster cluster, open_registered_cluster(repository, flags.cluster));
  PGS_TRY(ConnectionUrl url, source_url(cluster.record, flags.url));
  return SourceWork{.cluster = std::move(cluster),
                    .url = std::move(url),
                    .standing = standing_of(flags),
                    .clock = context.clock,
                    .cancellation = context.cancellation};
}

}  // namespace pgstrata
