// Rolled snapshots beside a stream, paced by the replay debt: how long the newest moment would take to open.
#pragma once

#include <thread>

#include "app/roll_cluster.h"
#include "app/stream_progress.h"

namespace pgstrata {

struct RollPacing {
  std::chrono::milliseconds bound{
      2000};  // what the debt is kept under, as far as the source's checkpoints let it
  std::chrono::milliseconds interval =
      std::chrono::minutes(5);       // a roll at least so often, where something changed
  bool ask_for_checkpoints = false;  // of the source, when its own come too rarely for the bound
};

// What there is to do, by what is known of newest snapshot and WAL. Pure.
// `wait_for_checkpoint`: it is due, and the source's next checkpoint ends the wait.
enum class RollStep { wait, wait_for_checkpoint, roll, ask_for_checkpoint };
struct RollSituation {
  std::chrono::microseconds debt{0};
  bool has_checkpoint = false;              // to roll to
  std::chrono::milliseconds since_last{0};  // snapshot, by this process's knowledge
};
[[nodiscard]] RollStep next_roll_step(const RollPacing& pacing, const RollSituation& situation);

// At work in a thread of its own until it is dropped. Failures are logged and tried again.
class Roller {
 public:
  // `progress` is borrowed, as is what `work` borrows but its cancellation.
  Roller(const SourceWork& work, std::string repository, std::filesystem::path state_directory,
         const RollPacing& pacing, StreamProgress& progress);
  ~Roller();
  Roller(const Roller&) = delete;
  Roller& operator=(const Roller&) = delete;

 private:
  void run();
  // Whether a roll was made.
  Result<bool> look();

  Cancellation stop_;
  SourceWork work_;
  const std::string repository_;
  const std::filesystem::path state_directory_;
  const RollPacing pacing_;
  StreamProgress& progress_;
  SteadyTime last_roll_;
  Lsn looked_at_;     // how far the WAL was when the debt was last estimated
  bool due_ = false;  // as it was then
  std::thread thread_;
};

}  // namespace pgstrata
