#include "app/roller.h"

#include "base/log.h"

namespace pgstrata {
namespace {

constexpr std::chrono::milliseconds poll{500};
constexpr std::chrono::seconds retry{30};
// A roll takes as long as its replay, during which the debt grows on: it begins before the bound is reached.
constexpr int begin_at_part = 2;

}  // namespace

RollStep next_roll_step(const RollPacing& pacing, const RollSituation& situation) {
  const bool by_debt = situation.debt >= pacing.bound / begin_at_part;
  const bool by_time = situation.since_last >= pacing.interval && situation.debt.count() > 0;
  if (!by_debt && !by_time) return RollStep::wait;
  if (situation.has_checkpoint) return RollStep::roll;
  return by_debt && pacing.ask_for_checkpoints ? RollStep::ask_for_checkpoint : RollStep::wait_for_checkpoint;
}

Roller::Roller(const SourceWork& work, std::string repository, std::filesystem::path state_directory,
               const RollPacing& pacing, StreamProgress& progress)
    : work_{.cluster = work.cluster,
            .url = work.url,
            .standing = work.standing,
            .clock = work.clock,
            .cancellation = stop_},
      repository_(std::move(repository)),
      state_directory_(std::move(state_directory)),
      pacing_(pacing),
      progress_(progress),
      last_roll_(work.clock.steady()),
      thread_([this] { run(); }) {}

Roller::~Roller() {
  stop_.request();
  thread_.join();
}

void Roller::run() {
  while (!stop_.wait_for(poll)) {
    const auto rolled = look();
    if (rolled || stop_.requested()) continue;
    looked_at_ = {};
    if (rolled.error().code() == ErrorCode::busy) {  // a backup is under way, most likely
      log_info("rolling a snapshot waits for {} s: {}", retry.count(), rolled.error().describe());
      stop_.wait_for(retry);
      continue;
    }
    const auto& hint = rolled.error().hint();
    log_error("rolling a snapshot failed and is tried again in {} s: {}{}{}", retry.count(),
              rolled.error().describe(), hint.empty() ? "" : "; ", hint);
    stop_.wait_for(retry);
  }
}

Result<bool> Roller::look() {
  const auto durable = progress_.durable();
  const auto since_last =
      std::chrono::duration_cast<std::chrono::milliseconds>(work_.clock.steady() - last_roll_);
  // Even WAL of the slowest kind does not owe a quarter of the bound yet.
  const auto too_little =
      replayed_plain_bytes_per_second * static_cast<std::uint64_t>(pacing_.bound.count()) / 4000;
  const bool little_new = durable.value <= looked_at_.value + too_little && !due_;
  if (!durable.valid() || durable == looked_at_ || (little_new && since_last < pacing_.interval))
    return false;
  looked_at_ = durable;
  PGS_TRY(const auto target, find_roll_target(work_.cluster.space, work_.cluster.record, stop_));
  if (!target) return false;  // a base backup is under way, or due
  const auto step = next_roll_step(
      pacing_,
      {.debt = target->debt, .has_checkpoint = target->checkpoint.has_value(), .since_last = since_last});
  due_ = step != RollStep::wait;
  if (step == RollStep::wait || step == RollStep::wait_for_checkpoint) return false;
  RollWork work{.cluster = work_.cluster,
                .repository = repository_,
                .state_directory = state_directory_,
                .checkpoint_at = {},
                .clock = work_.clock,
                .cancellation = stop_};
  if (step == RollStep::ask_for_checkpoint) work.checkpoint_at = work_.url;
  auto outcome = roll_cluster(work);
  if (!outcome) return std::unexpected(std::move(outcome).error());
  if (!outcome->made) return false;
  last_roll_ = work_.clock.steady();
  due_ = false;
  log_info("snapshot {} is rolled: {} new in the repository", outcome->snapshot->id,
           outcome->snapshot->added_bytes);
  return true;
}

}  // namespace pgstrata
