// A backup that is held at its beginning, for as long as a test wants.
#pragma once

#include <csignal>

#include "e2e/fault_test.h"

namespace pgstrata::testing {

// Base backups wait for a checkpoint, and while this lives there is none.
class HeldCheckpoint {
 public:
  explicit HeldCheckpoint(const PostgresServer& server)
      : checkpointer_(std::stoi(
            server.query_value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"))) {
    if (::kill(checkpointer_, SIGSTOP) != 0) throw TestFailure("could not stop the checkpointer");
  }
  ~HeldCheckpoint() { ::kill(checkpointer_, SIGCONT); }
  HeldCheckpoint(const HeldCheckpoint&) = delete;
  HeldCheckpoint& operator=(const HeldCheckpoint&) = delete;

 private:
  pid_t checkpointer_;
};

inline void wait_for_backup_to_wait(const PostgresServer& server) {
  wait_until("a backup to wait for the checkpoint", [&] {
    return server.query_value(
               "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'waiting for "
               "checkpoint%'") == "1";
  });
}

}  // namespace pgstrata::testing
