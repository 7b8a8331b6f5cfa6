#include <algorithm>
#include <memory>

#include "app/hold_cluster.h"
#include "cli/commands.h"
#include "cli/duration_argument.h"
#include "cli/human.h"
#include "cli/shapes.h"
#include "cli/table.h"
#include "cli/target_flags.h"
#include "cli/time_argument.h"

namespace pgstrata {
namespace {

constexpr const char* hold_add_details =
    R"(Keeps something from retention until the hold is removed, or until the time that --until says: a snapshot; a moment, with the
snapshot and the WAL that bring it back; or a range, any second of which can then be restored. Without any of these: the latest
moment. Branches, and restores under way, have holds of their own.

Examples:
  pgstrata hold add app --at "2026-11-21 09:14:59 UTC" --reason "before the migration" --until 90d
  pgstrata hold add app --from "2026-11-20 00:00" --to "2026-11-22 00:00" --reason "case 4711"
  pgstrata hold add app --snapshot 20261121-100305-1f2e --reason audit

Exit codes: 0 held, 3 no such cluster or snapshot, 4 the moment cannot be restored.)";

constexpr const char* hold_list_details =
    R"(Examples:
  pgstrata hold list app
  pgstrata hold list app --output json

Exit codes: 0 listed, 5 one of them cannot be read: it can be removed.)";

constexpr const char* hold_remove_details =
    R"(What it kept is removed by the next prune, unless something else keeps it. That of a branch goes with `pgstrata branch delete`, that of
a restore ends by itself: they are removed with --force alone.

Example:
  pgstrata hold remove app 20261121-100305-1f2e

Exit codes: 0 removed, 3 no such hold, 7 it is that of a branch or a restore.)";

struct HoldAddFlags {
  std::string cluster;
  TargetFlags target;
  std::optional<std::string> snapshot;
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::optional<std::string> until;
  std::string reason;
};

Json hold_json(const Hold& hold) {
  return {{"id", hold.id},
          {"kind", to_string(hold.kind)},
          {"reason", hold.reason},
          {"snapshot", hold.snapshot},
          {"timeline", hold.timeline.value},
          {"from_lsn", json_lsn(hold.from_lsn)},
          {"to_lsn", json_lsn(hold.to_lsn)},
          {"created", json_time(hold.created)},
          {"until", json_time(hold.until)}};
}

Result<RecoveryTarget> target_at(const std::string& time, const HoldAddFlags& flags, const Clock& clock) {
  TargetFlags at = flags.target;
  at.at = time;
  return recovery_target(at, clock);
}

// A span from now on, or a moment.
Result<Timestamp> end_of_hold(const std::string& text, const HoldAddFlags& flags, const Clock& clock) {
  if (const auto span = parse_duration_argument(text)) return clock.now() + *span;
  return parse_time_argument(text, {.clock = clock, .zone = flags.target.zone});
}

Result<HoldRequest> hold_request(const HoldAddFlags& flags, const Clock& clock) {
  HoldRequest request;
  request.reason = flags.reason;
  if (flags.reason.find_first_not_of(" \t\r\n") == std::string::npos)
    return fail(ErrorCode::usage, "a hold needs a reason that says something");
  if (flags.until) {
    PGS_TRY(request.until, end_of_hold(*flags.until, flags, clock));
    if (request.until <= clock.now())
      return fail(ErrorCode::usage, "the hold would have ended at {}", request.until);
  }
  const int said =
      (flags.snapshot ? 1 : 0) + (flags.from || flags.to ? 1 : 0) + (has_target(flags.target) ? 1 : 0);
  if (said > 1 || (flags.from.has_value() != flags.to.has_value())) {
    return std::unexpected(make_error(ErrorCode::usage, "a hold is of a snapshot, of a moment or of a range")
                               .with_hint("Give --snapshot, or --at and its kin, or --from and --to."));
  }
  if (flags.snapshot) {
    request.what = HeldSnapshot{*flags.snapshot};
  } else if (flags.from) {
    HeldRange range;
    PGS_TRY(range.from, target_at(*flags.from, flags, clock));
    PGS_TRY(range.to, target_at(*flags.to, flags, clock));
    request.what = range;
  } else {
    PGS_TRY(request.what, recovery_target(flags.target, clock));
  }
  return request;
}

Result<int> run_hold_add(const CommandContext& context, const HoldAddFlags& flags) {
  PGS_TRY(const HoldRequest request, hold_request(flags, context.clock));
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, flags.cluster));
  PGS_TRY(Hold hold, add_hold(cluster, request, context.clock, context.cancellation));
  hold.created = context.clock.now();
  context.print(hold_json(hold),
                fmt::format("hold {} keeps snapshot {} and the WAL from it to {}{}\n", hold.id, hold.snapshot,
                            hold.to_lsn, hold.until.valid() ? fmt::format(", until {}", hold.until) : ""));
  return 0;
}

Result<int> run_hold_list(const CommandContext& context, const std::string& cluster) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RegisteredCluster registered, open_registered_cluster(repository, cluster));
  PGS_TRY(const HoldList list, list_holds(registered.space));
  Table table({{.title = "HOLD"},
               {.title = "OF"},
               {.title = "SNAPSHOT"},
               {.title = "WAL UP TO"},
               {.title = "UNTIL"},
               {.title = "REASON"}});
  Json holds = Json::array();
  for (const Hold& hold : list.holds) {
    holds.push_back(hold_json(hold));
    table.add({hold.id, std::string(to_string(hold.kind)), hold.snapshot, to_string(hold.to_lsn),
               human_time(hold.until), hold.reason});
  }
  Json damaged = Json::array();
  for (const auto& one : list.damaged) {
    damaged.push_back({{"id", one.id}, {"error", one.error.describe()}});
    log_error("hold {0} cannot be read: {1}; `pgstrata hold remove {2} {0}` removes it", one.id,
              one.error.describe(), cluster);
  }
  context.print({{"cluster", cluster}, {"holds", std::move(holds)}, {"damaged", std::move(damaged)}},
                list.holds.empty() ? fmt::format("{} has no hold\n", cluster) : table.text());
  return list.damaged.empty() ? 0 : exit_code(ErrorCode::damaged);
}

struct HoldRemoveFlags {
  std::string cluster;
  std::string id;
  bool force = false;
};

// Of a branch, or a restore under way: somebody reads what it keeps.
Result<void> check_not_in_use(const ClusterSpace& space, const std::string& id) {
  PGS_TRY(const HoldList list, list_holds(space));
  const auto hold = std::ranges::find(list.holds, id, &Hold::id);
  if (hold == list.holds.end() || hold->kind == HoldKind::operator_) return {};
  return std::unexpected(
      make_error(ErrorCode::busy, "hold {} is that of a {}: {}", id, to_string(hold->kind), hold->reason)
          .with_hint(
              hold->kind == HoldKind::branch
                  ? "It goes with `pgstrata branch delete`. Where that machine is lost, --force removes it."
                  : "It ends by itself. Where that restore is over, --force removes it."));
}

Result<int> run_hold_remove(const CommandContext& context, const HoldRemoveFlags& flags) {
  PGS_TRY(const Repository repository, context.open_repository());
  PGS_TRY(const RegisteredCluster cluster, open_registered_cluster(repository, flags.cluster));
  if (!flags.force) PGS_CHECK(check_not_in_use(cluster.space, flags.id));
  PGS_CHECK(remove_hold(cluster.space, flags.id));
  context.print({{"cluster", flags.cluster}, {"id", flags.id}, {"removed", true}},
                fmt::format("removed hold {}\n", flags.id));
  return 0;
}

}  // namespace

void add_hold_commands(CLI::App& program, Invocation& invocation) {
  CLI::App* noun = add_noun(program, "hold", "what retention must not remove: add, list, remove");
  const auto flags = std::make_shared<HoldAddFlags>();  // shared with the actions, which outlive this call
  CLI::App* add = add_command(
      *noun, invocation,
      {.name = "add", .summary = "keep a snapshot, a moment or a range", .details = hold_add_details},
      [flags](const CommandContext& context) { return run_hold_add(context, *flags); });
  add_cluster_argument(*add, flags->cluster);
  add->add_option("--reason", flags->reason, "why, for whoever finds it")->required()->type_name("TEXT");
  add->add_option("--snapshot", flags->snapshot, "a snapshot")->type_name("ID");
  add->add_option("--from", flags->from, "with --to: a range of time")->type_name("TIME");
  add->add_option("--to", flags->to, "the range's end")->type_name("TIME");
  add->add_option("--until", flags->until, "when it ends: a time, or a span from now such as 90d")
      ->type_name("TIME");
  add_target_flags(*add, flags->target);
  const auto cluster = std::make_shared<std::string>();
  CLI::App* list = add_command(
      *noun, invocation, {.name = "list", .summary = "a cluster's holds", .details = hold_list_details},
      [cluster](const CommandContext& context) { return run_hold_list(context, *cluster); });
  add_cluster_argument(*list, *cluster);
  const auto removed = std::make_shared<HoldRemoveFlags>();
  CLI::App* remove = add_command(
      *noun, invocation, {.name = "remove", .summary = "let it go", .details = hold_remove_details},
      [removed](const CommandContext& context) { return run_hold_remove(context, *removed); });
  add_cluster_argument(*remove, removed->cluster);
  remove->add_option("HOLD", removed->id, "its id, as `pgstrata hold list` has it")->required();
  remove->add_flag("--force", removed->force,
                   "also that of a branch or a restore, which then loses what it reads");
}

}  // namespace pgstrata
