#include <memory>

#include "app/add_cluster.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/redact.h"
#include "cli/shapes.h"

namespace pgstrata {
namespace {

constexpr const char* add_details =
    R"(Checks the source, says everything that has to be changed there, makes a replication slot named
pgstrata_CLUSTER and registers the cluster. The user needs the REPLICATION attribute and a line in
pg_hba.conf for "replication", nothing more. The URL is kept without its password; passwords come
from ~/.pgpass, PGPASSWORD or a service file, as with psql. From then on the slot holds WAL on the
source until `pgstrata stream` fetches it.

For a cluster that is registered it says where the primary is now, after a failover or a move: the
server must have the cluster's system identifier and not be on a timeline that the cluster has left.
Its slot is made there where it is missing; a stream that runs has to be restarted.

A slot that is there already may be another repository's, which would lose WAL: it is taken over only
when --slot names it, as to finish an add that was interrupted.

Examples:
  pgstrata add app --url postgresql://backup@db.example.com/postgres
  pgstrata add app --url "host=/var/run/postgresql user=backup"
  pgstrata add app --url "service=app" --slot pgstrata_app_second_repository
  pgstrata add app --url postgresql://backup@db2.example.com/postgres     (app has moved)

Exit codes: 0 registered, 1 the source is not ready, the name or the slot is taken, or there is nothing
to change, 7 the slot is in use.)";

struct AddFlags {
  std::string cluster;
  std::string url;
  std::optional<std::string> slot;
  std::string capture = "physical";
};

Json to_json(const AddFlags& flags, const AddOutcome& outcome) {
  Json json{{"cluster", flags.cluster},
            {"added", outcome.problems.empty()},
            {"problems", json_remarks(outcome.problems)},
            {"warnings", json_remarks(outcome.warnings)}};
  if (outcome.problems.empty()) {
    const ClusterRecord& record = outcome.record;
    json["connection"] = redact_passwords(record.connection);
    json["slot"] = record.slot;
    json["slot_reused"] = outcome.slot_reused;
    if (outcome.before) {
      json["moved_from"] = {{"connection", redact_passwords(outcome.before->connection)},
                            {"slot", outcome.before->slot}};
    }
    json["system_identifier"] = fmt::format("{}", record.system_identifier);
    json["server_version"] = record.server_version;
    json["wal_segment_bytes"] = record.wal_segment_bytes;
    json["data_checksums"] = record.data_checksums;
  }
  return json;
}

std::string to_text(const AddFlags& flags, const AddOutcome& outcome) {
  if (outcome.before) {
    return fmt::format("{} is now at {}\n{} the replication slot {}\nit was at {}, with the slot {}\n",
                       flags.cluster, redact_passwords(outcome.record.connection),
                       outcome.slot_reused ? "goes on with" : "made", outcome.record.slot,
                       redact_passwords(outcome.before->connection), outcome.before->slot);
  }
  if (outcome.problems.empty()) {
    return fmt::format("registered {}: PostgreSQL {}, system identifier {}\n{} the replication slot {}\n",
                       flags.cluster, human_server_version(outcome.record.server_version),
                       outcome.record.system_identifier, outcome.slot_reused ? "took over" : "made",
                       outcome.record.slot);
  }
  std::string text = "to be changed on the source:\n";
  for (const SourceRemark& problem : outcome.problems) {
    text += fmt::format("  - {}\n", redact_passwords(problem.what));
    if (!problem.fix.empty()) text += fmt::format("    {}\n", redact_passwords(problem.fix));
  }
  return text;
}

Result<int> run_add(const CommandContext& context, const AddFlags& flags) {
  if (flags.capture == "logical") {
    return std::unexpected(make_error(ErrorCode::unsupported, "logical capture is not there yet")
                               .with_hint("Leave out --capture for a server that allows replication."));
  }
  PGS_TRY(Repository repository, context.open_repository());
  PGS_TRY(const AddOutcome outcome,
          add_cluster(repository, {.cluster = flags.cluster, .url = flags.url, .slot = flags.slot},
                      context.clock, context.cancellation));
  context.print(to_json(flags, outcome), to_text(flags, outcome));
  for (const SourceRemark& warning : outcome.warnings) log_warning("{}; {}", warning.what, warning.fix);
  if (outcome.before) {
    context.console.say(
        fmt::format("next: restart the stream (`systemctl restart pgstrata-stream@{}`): one "
                    "that runs stays where it is",
                    flags.cluster));
    return 0;
  }
  if (outcome.problems.empty()) {
    context.console.say(fmt::format("next: `pgstrata stream {0}` (keep it running) and `pgstrata backup {0}`",
                                    flags.cluster));
    return 0;
  }
  return std::unexpected(
      make_error(ErrorCode::failed, "the source is not ready: {}",
                 counted(outcome.problems.size(), "thing has to be changed", "things have to be changed"))
          .with_hint("Nothing was registered. Change what is said above and run this again."));
}

}  // namespace

void add_add_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<AddFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      program, invocation,
      {.name = "add", .summary = "register a cluster, or where it is now", .details = add_details},
      [flags](const CommandContext& context) { return run_add(context, *flags); });
  add_cluster_argument(*command, flags->cluster);
  command->add_option("--url", flags->url, "the source: a libpq URL, keywords or service")
      ->type_name("URL")
      ->required();
  command
      ->add_option(
          "--slot", flags->slot,
          "the replication slot to make, or to take over if nobody uses it (default pgstrata_CLUSTER)")
      ->type_name("NAME");
  command->add_option("--capture", flags->capture, "how: physical (default) or logical")
      ->check(CLI::IsMember({"physical", "logical"}).description(""))
      ->type_name("HOW");
}

}  // namespace pgstrata
