#include "cli/stop_signals.h"

#include <atomic>
#include <csignal>

#include "base/assert.h"

namespace pgstrata {
namespace {

std::atomic<Cancellation*> to_request{nullptr};

extern "C" void request_stop(int) {
  if (Cancellation* cancellation = to_request.load()) cancellation->request();
}

void handle(int signal_number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  PGS_ASSERT(sigaction(signal_number, &action, nullptr) == 0);
}

}  // namespace

StopSignals::StopSignals(Cancellation& cancellation) {
  PGS_ASSERT(to_request.exchange(&cancellation) == nullptr);
  handle(SIGINT, request_stop);
  handle(SIGTERM, request_stop);
  handle(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
  to_request.store(nullptr);
}

}  // namespace pgstrata
