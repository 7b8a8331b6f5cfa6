#include "cli/status_shapes.h"

#include "cli/human.h"
#include "cli/redact.h"
#include "cli/shapes.h"
#include "cli/table.h"

namespace pgstrata {
namespace {

Json json_problems(const std::vector<StatusProblem>& problems) {
  Json list = Json::array();
  for (const StatusProblem& problem : problems) {
    list.push_back(
        {{"code", problem.code}, {"what", redact_passwords(problem.what)}, {"hint", problem.hint}});
  }
  return list;
}

Json json_source(const ClusterStatus& status) {
  const SourceView& source = status.source;
  Json json{{"connection", redact_passwords(status.record.connection)},
            {"system_identifier", fmt::format("{}", status.record.system_identifier)},
            {"server_version", status.record.server_version},
            {"slot", status.record.slot},
            {"reachable", source.asked ? Json(source.reachable) : Json()}};
  json["flush_lsn"] = json_lsn(source.flush_position);
  json["timeline"] = source.timeline.valid() ? Json(source.timeline.value) : Json();
  json["error"] = source.why_not.empty() ? Json() : Json(redact_passwords(source.why_not));
  return json;
}

Json json_stored(const ClusterStatus& status) {
  Json by_kind = Json::object();
  for (const auto& [kind, size] : status.stored) {
    by_kind[kind] = {{"objects", size.objects}, {"bytes", size.bytes}};
  }
  return {
      {"objects", status.stored_total.objects}, {"bytes", status.stored_total.bytes}, {"by_kind", by_kind}};
}

Json json_seconds(std::chrono::microseconds span) {
  return static_cast<double>(span.count()) / 1e6;
}

Json json_cluster(const ClusterStatus& status) {
  Json coverage = Json::array();
  for (const CoverageRange& range : status.coverage.ranges) coverage.push_back(json_range(range));
  Json json{{"name", status.name}, {"coverage", std::move(coverage)}};
  json["lag_seconds"] = status.lag_time ? json_seconds(*status.lag_time) : Json();
  json["lag_bytes"] = status.lag_bytes ? Json(*status.lag_bytes) : Json();
  const auto& [now, worst] = status.replay_debts;
  json["replay_debt_seconds"] = now ? json_seconds(now->time) : Json();
  json["worst_replay_debt_seconds"] = worst ? json_seconds(worst->debt.time) : Json();
  json["snapshots"] = status.coverage.snapshots.size();
  json["last_snapshot"] =
      status.coverage.snapshots.empty() ? Json() : json_snapshot(status.coverage.snapshots.back());
  json["stream"] = json_holder(status.stream);
  json["backup"] = json_holder(status.backup);
  json["stored"] = json_stored(status);
  json["source"] = json_source(status);
  json["problems"] = json_problems(status.problems);
  return json;
}

std::string text_coverage(const ClusterStatus& status) {
  const auto& ranges = status.coverage.ranges;
  if (ranges.empty()) return "  nothing can be restored\n";
  Table table({{.title = "  RESTORABLE FROM"},
               {.title = "TO"},
               {.title = "TIMELINE", .align = Align::right},
               {.title = "FROM LSN"},
               {.title = "TO LSN"}});
  std::vector<const CoverageRange*> alone;
  std::size_t snapshots = 0;
  for (const CoverageRange& range : ranges) {
    if (is_kept_of_earlier(range, status.horizons)) {
      alone.push_back(&range);
      snapshots += range.snapshots.size();
      continue;
    }
    table.add({"  " + human_time(range.from_time), human_time(range.to_time),
               fmt::format("{}", range.timeline), to_string(range.from_lsn), to_string(range.to_lsn)});
  }
  if (alone.empty()) return table.text();
  const auto [oldest, newest] = std::ranges::minmax(alone, {}, &CoverageRange::from_time);
  return table.text() +
         fmt::format("  and {} of {} to {}, as of their own moments: `pgstrata snapshot list {}`\n",
                     counted(snapshots, "snapshot", "snapshots"), human_time(oldest->from_time),
                     human_time(newest->from_time), status.name);
}

std::string text_holder(const std::optional<LeaseHolder>& holder) {
  if (!holder) return "not running";
  return fmt::format("process {} on {} since {}", holder->process.pid, holder->process.host_name,
                     human_time(holder->since));
}

std::string text_lag(const ClusterStatus& status) {
  const std::string time = status.lag_time ? human_duration(*status.lag_time) : "unknown (no coverage)";
  if (status.lag_bytes) return fmt::format("{}, {}", time, human_size(*status.lag_bytes));
  if (status.source.reachable) return time;  // there is nothing yet to count from
  return fmt::format("{}, bytes unknown ({})", time,
                     status.source.asked ? "the source did not tell" : "source not asked");
}

// A sample says "about".
std::string text_debt(const ReplayDebt& debt) {
  return (debt.sampled ? "about " : "") + human_duration(debt.time);
}

std::string text_replay_debt(const ReplayDebts& debts) {
  if (!debts.worst) return "unknown (no coverage)";
  const std::string now = debts.now ? text_debt(*debts.now) + ", " : "";
  return fmt::format("{}{} at worst (from snapshot {} to {})", now, text_debt(debts.worst->debt),
                     debts.worst->snapshot, debts.worst->to);
}

std::string text_last_snapshot(const std::vector<SnapshotRecord>& snapshots) {
  if (snapshots.empty()) return "none";
  const SnapshotRecord& last = snapshots.back();
  return fmt::format("{} {} ({}), {} in all", last.id, to_string(last.kind), human_size(last.total_bytes),
                     snapshots.size());
}

std::string text_stored(const ClusterStatus& status) {
  std::string text = human_size(status.stored_total.bytes);
  const char* before = ": ";
  for (const auto& [kind, size] : status.stored) {
    text += fmt::format("{}{} {}", before, kind, human_size(size.bytes));
    before = ", ";
  }
  return text;
}

std::string text_problems(const std::vector<StatusProblem>& problems, std::string_view indent) {
  std::string text;
  for (const StatusProblem& problem : problems) {
    text += fmt::format("{}PROBLEM: {}\n", indent, redact_passwords(problem.what));
    if (!problem.hint.empty()) text += fmt::format("{}  {}\n", indent, problem.hint);
  }
  return text;
}

std::string text_cluster(const ClusterStatus& status) {
  std::string text =
      fmt::format("{}: PostgreSQL {}, system identifier {}\n", status.name,
                  human_server_version(status.record.server_version), status.record.system_identifier);
  text += text_coverage(status);
  text += fmt::format("  lag            {}\n", text_lag(status));
  text += fmt::format("  replay debt    {}\n", text_replay_debt(status.replay_debts));
  text += fmt::format("  stream         {}\n", text_holder(status.stream));
  if (status.backup) text += fmt::format("  backup         {}\n", text_holder(status.backup));
  text += fmt::format("  last snapshot  {}\n", text_last_snapshot(status.coverage.snapshots));
  text += fmt::format("  stored         {}\n", text_stored(status));
  text += status.problems.empty() ? "  no problems\n" : text_problems(status.problems, "  ");
  return text;
}

}  // namespace

Json json_status(const RepositoryStatus& status) {
  Json clusters = Json::array();
  for (const ClusterStatus& cluster : status.clusters) clusters.push_back(json_cluster(cluster));
  return {{"repository",
           {{"location", status.location},
            {"encrypted", status.encrypted},
            {"free_bytes", status.free_bytes ? Json(*status.free_bytes) : Json()}}},
          {"clusters", std::move(clusters)},
          {"problems", json_problems(status.problems)}};
}

std::string text_status(const RepositoryStatus& status) {
  std::string text =
      fmt::format("repository {}, {}", status.location, status.encrypted ? "encrypted" : "NOT encrypted");
  if (status.free_bytes) text += fmt::format(", {} free", human_size(*status.free_bytes));
  text += "\n" + text_problems(status.problems, "");
  for (const ClusterStatus& cluster : status.clusters) text += "\n" + text_cluster(cluster);
  if (status.clusters.empty() && status.problems.empty()) {
    text += "no cluster yet: `pgstrata add NAME --url URL` registers one\n";
  }
  return text;
}

bool is_kept_of_earlier(const CoverageRange& range, const WalHorizons& horizons) {
  return was_let_go(horizons, range.timeline, range.to_lsn);
}

}  // namespace pgstrata
