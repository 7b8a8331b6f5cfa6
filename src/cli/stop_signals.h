// SIGINT and SIGTERM as a request to stop; SIGPIPE as an error of the write.
#pragma once

#include "base/cancellation.h"

namespace pgstrata {

// Sets the process's signal handling while it lives; `cancellation` is borrowed. One at a time.
class StopSignals {
 public:
  explicit StopSignals(Cancellation& cancellation);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
};

}  // namespace pgstrata
