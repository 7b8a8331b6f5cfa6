#include <memory>

#include "app/stream_cluster.h"
#include "cli/commands.h"
#include "cli/duration_argument.h"
#include "cli/human.h"
#include "cli/shapes.h"
#include "cli/source_flags.h"

namespace pgstrata {
namespace {

constexpr const char* stream_details =
    R"(Receives the cluster's WAL in the foreground until it is told to stop (SIGINT, SIGTERM). A commit is
durable in the repository within a second; with pgstrata in the source's synchronous_standby_names,
before it is acknowledged. Comes back by itself after lost connections, restarts and promotions.
When WAL was lost, it says so and makes a new base backup.

With --roll it makes rolled snapshots as well (see `pgstrata backup --help`), so often that the newest
moment opens within the bound: as soon as the WAL after the last snapshot would take half of it to
replay, and at least every five minutes when something changed. Each ends at a checkpoint of the
source; where those come too rarely, --checkpoint asks for one, which needs a superuser or, from
PostgreSQL 15 on, a member of pg_checkpoint.

Examples:
  pgstrata stream app
  pgstrata stream app --roll --checkpoint
  pgstrata stream app --until-lsn 0/5000000
  systemctl enable --now pgstrata-stream@app

Exit codes: 0 stopped on request or --until-lsn is durable, 1 failed, 7 another process streams the
cluster.)";

struct StreamFlags {
  SourceFlags source;
  std::optional<std::string> until_lsn;
  bool roll = false;
  bool checkpoint = false;
  std::optional<std::string> roll_bound;
};

std::string status_line(const WalReceiverStatus& status) {
  std::string line = fmt::format("{}  durable up to {}  lag {}", to_string(status.state), status.durable,
                                 human_size(status.lag_bytes()));
  if (status.synchronous) line += "  synchronous";
  if (!status.problem.empty()) line += "  " + status.problem;
  return line;
}

// Redrawn when the state changes or all is durable, otherwise a few times a second: there is news with every
// flush.
class StatusLine {
 public:
  explicit StatusLine(const CommandContext& context) : context_(context) {}

  void operator()(const WalReceiverStatus& status) {
    const auto now = context_.clock.steady();
    const bool changed = status.state != drawn_.state || status.problem != drawn_.problem ||
                         status.synchronous != drawn_.synchronous || status.timeline != drawn_.timeline;
    const bool all_durable = status.lag_bytes() == 0 && drawn_.lag_bytes() != 0;
    if (!changed && !all_durable && now - drawn_at_ < redraw_interval) return;
    context_.console.show_progress(status_line(status));
    drawn_ = status;
    drawn_at_ = now;
  }

 private:
  static constexpr std::chrono::milliseconds redraw_interval{200};
  const CommandContext& context_;
  WalReceiverStatus drawn_;
  SteadyTime drawn_at_;
};

Json to_json(const StreamFlags& flags, const StreamOutcome& outcome) {
  return {{"cluster", flags.source.cluster},
          {"timeline", outcome.last.timeline.value},
          {"durable_lsn", json_lsn(outcome.last.durable)},
          {"lag_bytes", outcome.last.lag_bytes()}};
}

std::string to_text(const StreamOutcome& outcome) {
  if (!outcome.last.durable.valid()) return "stopped\n";
  return fmt::format("stopped; timeline {} is durable up to {}\n", outcome.last.timeline,
                     outcome.last.durable);
}

// Nothing without --roll.
Result<std::optional<RollPacing>> roll_pacing(const StreamFlags& flags) {
  if (!flags.roll) return std::nullopt;
  RollPacing pacing{.ask_for_checkpoints = flags.checkpoint};
  if (flags.roll_bound) {
    PGS_TRY(pacing.bound, parse_duration_argument(*flags.roll_bound));
  }
  return pacing;
}

Result<int> run_stream(const CommandContext& context, const StreamFlags& flags) {
  StreamRequest request;
  if (flags.until_lsn) {
    PGS_TRY(request.until, parse_lsn(*flags.until_lsn));
  }
  if (context.console.err_is_terminal()) request.on_status = StatusLine(context);
  PGS_TRY(const auto pacing, roll_pacing(flags));
  PGS_TRY(const Repository repository, context.open_repository());
  if (pacing) request.rolling = {repository.store().describe(), context.settings.state_directory, *pacing};
  PGS_TRY(const SourceWork work, source_work(context, repository, flags.source));
  auto outcome = stream_cluster(work, request);
  if (!outcome.has_value()) {
    // A stop that was asked for before the stream had begun is a stop all the same.
    if (outcome.error().code() != ErrorCode::cancelled) return std::unexpected(std::move(outcome).error());
    outcome = StreamOutcome{};
  }
  context.print(to_json(flags, *outcome), to_text(*outcome));
  return 0;
}

}  // namespace

void add_stream_command(CLI::App& program, Invocation& invocation) {
  const auto flags = std::make_shared<StreamFlags>();  // shared with the action, which outlives this call
  CLI::App* command =
      add_command(program, invocation,
                  {.name = "stream", .summary = "receive WAL until stopped", .details = stream_details},
                  [flags](const CommandContext& context) { return run_stream(context, *flags); });
  add_source_flags(*command, flags->source);
  CLI::Option* roll = command->add_flag("--roll", flags->roll, "make rolled snapshots as well");
  command->add_option("--roll-bound", flags->roll_bound, "how long the newest moment may take to replay (2s)")
      ->type_name("SPAN")
      ->needs(roll);
  command->add_flag("--checkpoint", flags->checkpoint, "ask the source for checkpoints that the bound needs")
      ->needs(roll);
  command->add_option("--until-lsn", flags->until_lsn, "stop once everything before it is durable")
      ->type_name("LSN");
}

}  // namespace pgstrata
