// Leases: who is at work on a cluster. They change by compare-and-swap.
//
// A lease is held by one process and renewed by a thread of its own. A holder that died on this machine (same
// boot, same container, no such process) loses it at once; one on another machine when its lease has not
// changed for the time to live, measured by the taker's own steady clock, so no two machines' clocks need
// agree. On a store without conditional writes two takers at the same moment may both believe they hold it:
// there, one machine only should write. Format: docs/formats/lease.md.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/cancellation.h"
#include "repo/repository.h"
#include "sys/process_identity.h"

namespace pgstrata {

struct LeaseHolder {
  ProcessIdentity process;
  std::string purpose;  // "stream", "backup": for messages
  Timestamp since;
};

struct LeaseOptions {
  // Renewed three times in each. Whoever waits for it waits the longer of its own and the holder's.
  std::chrono::milliseconds time_to_live = std::chrono::seconds(30);
  // Ends the wait for a holder that may be dead; borrowed for the call.
  const Cancellation* cancellation = nullptr;
};

class Lease {
 public:
  // Takes `leases/NAME` for this process. `clock` is borrowed for the life of the lease.
  // Waits, up to the time to live, only when the holder may be dead on another machine.
  // Errors: busy, naming who holds it: "stream of app is held by process 4711 on host db1 since ...";
  // cancelled; damaged; newer_format.
  static Result<Lease> acquire(const ClusterSpace& space, std::string name, std::string purpose,
                               const Clock& clock, LeaseOptions options = {});
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  // Gives it back.
  ~Lease();

  // Still held, and not to be taken over within a third of the time to live. Renews on the spot when the last
  // renewal is too long ago (this process or its machine was stopped). Thread-safe. Errors: busy, when
  // somebody took it over: publish nothing any more; unavailable, when it could not be renewed in time:
  // publish nothing until a later check succeeds, before which nobody else has had it.
  Result<void> check() const;

 private:
  struct State;
  explicit Lease(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Lease::acquire for work that writes into a cluster, after which the cluster is still there: a process may have opened it
// just before it was shredded. Errors: those of acquire; not_found.
Result<Lease> acquire_to_write(const ClusterSpace& space, std::string name, std::string purpose,
                               const Clock& clock, LeaseOptions options = {});

// Lease::check for who must not know of the lease: asked before anything becomes visible in the repository,
// from several threads.
using PublishingAllowed = std::function<Result<void>()>;

// How long what was allowed may be tried: with what a network takes to deliver it (HttpClientOptions::delivery_limit), a
// third of the time to live. See storage/brief_attempts.h.
inline constexpr std::chrono::milliseconds publishing_limit = std::chrono::seconds(5);

// Who holds it now; nobody when it is free, given back, or its holder is dead on this machine. Does not wait,
// so a holder that died on another machine is still named. Errors: damaged; newer_format.
Result<std::optional<LeaseHolder>> lease_holder(const ClusterSpace& space, std::string_view name);

// What tells one holding of a lease from each other one, of the same process too; empty where lease_holder says nobody.
// Errors: as for lease_holder.
Result<std::string> lease_holding(const ClusterSpace& space, std::string_view name);

}  // namespace pgstrata
