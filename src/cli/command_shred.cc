#include <memory>

#include "app/shred_cluster.h"
#include "app/source_slot.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/passphrase_prompt.h"
#include "cli/progress_meter.h"
#include "cli/shapes.h"
#include "cli/visible_text.h"

namespace pgstrata {
namespace {

constexpr const char* shred_details =
    R"(Destroys the key of a cluster, without which nothing of it can ever be read again, then removes all its objects from
the repository. There is no way back. The cluster's name has to be typed at the terminal, or given with --confirm. Nobody
may be at work on the cluster: its leases are taken first.

When it was cut short the same command goes on; what is left by then is only room. A cluster whose key was lost is removed
in the same way.

What it cannot reach: copies of the repository (`pgstrata copy`) have the key and the objects, and so have the older
versions that a bucket keeps and images of its disk. The source server is not touched: its replication slot still holds
WAL, and is named for you to drop. Branches of the cluster on this machine do not start again.

Examples:
  pgstrata shred app --dry-run
  pgstrata shred app
  pgstrata shred app --confirm app

Exit codes: 0 shredded (with --dry-run: told), 1 failed or stopped (the same command goes on), 2 not confirmed, 3 there is
no such cluster, 7 somebody is at work on it.)";

struct ShredFlags {
  std::string cluster;
  std::optional<std::string> confirm;
  bool dry_run = false;
};

std::unexpected<Error> not_confirmed(const std::string& cluster, std::string_view typed) {
  return std::unexpected(
      make_error(ErrorCode::usage, "\"{}\" is not the cluster's name: nothing was done", visible_text(typed))
          .with_hint(fmt::format("To shred it, type its name, or give `--confirm {}`.", cluster)));
}

Result<void> check_confirmed(const ShredFlags& flags) {
  if (flags.confirm) {
    if (*flags.confirm == flags.cluster) return {};
    return not_confirmed(flags.cluster, *flags.confirm);
  }
  if (!can_ask()) {
    return std::unexpected(
        make_error(ErrorCode::usage,
                   "shredding cluster {} has to be confirmed, and there is no terminal to ask at",
                   flags.cluster)
            .with_hint(fmt::format("Give `--confirm {0}`; `pgstrata shred {0} --dry-run` tells "
                                   "what would go.",
                                   flags.cluster)));
  }
  PGS_TRY(const std::string typed,
          ask_word(fmt::format("There is no way back. Type the cluster's name to shred it: ")));
  if (typed == flags.cluster) return {};
  return not_confirmed(flags.cluster, typed);
}

Json to_json(const ShredPreview& preview) {
  Json coverage = Json::array();
  for (const CoverageRange& range : preview.ranges) coverage.push_back(json_range(range));
  const auto& record = preview.record;
  return {{"cluster", preview.cluster},
          {"has_key", preview.has_key},
          {"readable", preview.readable},
          {"objects", preview.stored.objects},
          {"bytes", preview.stored.bytes},
          {"snapshots", preview.snapshots},
          {"coverage", std::move(coverage)},
          {"branches", preview.branches},
          {"connection", record ? Json(record->connection) : Json()},
          {"slot", record ? Json(record->slot) : Json()},
          {"drop_slot", record ? Json(drop_slot_sql(record->slot)) : Json()}};
}

std::string key_text(const ShredPreview& preview) {
  if (preview.readable) return "";
  if (preview.has_key) return "  its key cannot be opened: nothing of it can be read as it is\n";
  return "  its key is gone already: this is what is left of it\n";
}

std::string contents_text(const ShredPreview& preview) {
  std::string text =
      fmt::format("cluster {} has {} ({})\n", preview.cluster,
                  counted(preview.stored.objects, "object", "objects"), human_size(preview.stored.bytes)) +
      key_text(preview);
  if (!preview.readable) return text;
  text += fmt::format("  {}\n", counted(preview.snapshots, "snapshot", "snapshots"));
  for (const CoverageRange& range : preview.ranges) {
    text +=
        fmt::format("  restorable now: {} to {}\n", human_time(range.from_time), human_time(range.to_time));
  }
  if (preview.ranges.empty()) text += "  nothing of it can be restored now\n";
  return text;
}

std::string branches_text(const ShredPreview& preview, bool done) {
  if (preview.branches.empty()) return "";
  std::string names;
  for (const std::string& name : preview.branches) names += (names.empty() ? "" : ", ") + visible_text(name);
  return fmt::format("{} on this machine {} not start again: {}\n",
                     counted(preview.branches.size(), "branch", "branches"), done ? "do" : "would", names);
}

std::string slot_text(const ShredPreview& preview) {
  if (!preview.record) return "";
  const auto& record = *preview.record;
  return fmt::format(
      "the source's slot \"{}\" still holds WAL there, until its disk is full; unless another repository "
      "streams "
      "through it, drop it on {}: {}\n",
      visible_text(record.slot), visible_text(record.connection), drop_slot_sql(record.slot));
}

Json to_json(const ShredPreview& preview, const std::optional<ShredOutcome>& outcome) {
  Json json = to_json(preview);
  json["shredded"] = outcome.has_value();
  json["key_destroyed"] = outcome && outcome->key_destroyed;
  json["removed_objects"] = outcome ? outcome->removed.objects : 0;
  json["removed_bytes"] = outcome ? outcome->removed.bytes : 0;
  return json;
}

std::string done_text(const ShredPreview& preview, const ShredOutcome& outcome) {
  std::string text;
  if (outcome.key_destroyed) text += fmt::format("destroyed the key of cluster {}\n", preview.cluster);
  text += fmt::format("removed {} ({})\n", counted(outcome.removed.objects, "object", "objects"),
                      human_size(outcome.removed.bytes));
  return text + branches_text(preview, true) + slot_text(preview);
}

Result<int> run_shred(const CommandContext& context, const ShredFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(
      const ShredPreview preview,
      preview_shredding(repository, flags.cluster, context.settings.state_directory, context.cancellation));
  if (flags.dry_run) {
    context.print(to_json(preview, {}),
                  contents_text(preview) + branches_text(preview, false) + slot_text(preview));
    return 0;
  }
  if (!flags.confirm && can_ask())
    context.console.say(contents_text(preview) + branches_text(preview, false));
  PGS_CHECK(check_confirmed(flags));
  auto outcome = [&] {
    ProgressMeter meter(context.console, context.clock);
    meter.begin("removing " + flags.cluster);
    return shred_cluster(repository, flags.cluster, context.clock, context.cancellation,
                         [&](const ObjectTally& removed) {
                           meter.update_counted(removed.objects, preview.stored.objects, removed.bytes);
                         });
  }();
  if (!outcome.has_value()) return std::unexpected(std::move(outcome).error());
  context.print(to_json(preview, *outcome), done_text(preview, *outcome));
  return 0;
}

}  // namespace

void add_shred_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<ShredFlags>();  // shared with the action, which outlives this call
  CLI::App* command = add_command(
      program, invocation,
      {.name = "shred", .summary = "destroy a cluster's key, then all it has here", .details = shred_details},
      [flags](const CommandContext& context) { return run_shred(context, *flags); });
  add_cluster_argument(*command, flags->cluster);
  command
      ->add_option("--confirm", flags->confirm, "the cluster's name once more, in the place of the question")
      ->type_name("CLUSTER");
  command->add_flag("--dry-run", flags->dry_run, "tell what would go, and do nothing");
}

}  // namespace pgstrata
