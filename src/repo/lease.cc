#include "repo/lease.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "base/log.h"
#include "codec/digest.h"
#include "repo/lease_content.h"

namespace pgstrata {
namespace {

using std::chrono::milliseconds;

constexpr int renewals_per_time_to_live = 3;
constexpr int looks_per_time_to_live = 20;

struct LeaseObject {
  std::optional<std::string> version;  // absent when there is no such object
  LeaseContent content;
};

Result<LeaseObject> look(const ClusterSpace& space, std::string_view name) {
  auto object = space.store().get_versioned(space.object_name(lease_object_name(name)));
  if (!object.has_value()) {
    if (object.error().code() == ErrorCode::not_found) {
      LeaseObject none;
      none.content.released = true;
      return none;
    }
    return std::unexpected(std::move(object).error());
  }
  PGS_TRY(LeaseContent content, open_lease(space, name, object->content));
  return LeaseObject{.version = std::move(object->version), .content = std::move(content)};
}

// The tokens of the leases that this process holds. What names this process and is not among them is left
// over from a write whose answer was lost.
class HeldTokens {
 public:
  static HeldTokens& instance() {
    static HeldTokens tokens;
    return tokens;
  }
  void add(const std::string& token) {
    const std::lock_guard lock(mutex_);
    tokens_.insert(token);
  }
  void remove(const std::string& token) {
    const std::lock_guard lock(mutex_);
    tokens_.erase(token);
  }
  bool contains(const std::string& token) {
    const std::lock_guard lock(mutex_);
    return tokens_.contains(token);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> tokens_;  // guarded by mutex_
};

Result<Liveness> liveness(const LeaseContent& content) {
  if (content.released) return Liveness::dead;
  PGS_TRY(const ProcessIdentity self, ProcessIdentity::self());
  if (content.holder.process != self) return content.holder.process.liveness();
  return HeldTokens::instance().contains(content.token) ? Liveness::alive : Liveness::dead;
}

std::unexpected<Error> held(const ClusterSpace& space, const LeaseHolder& holder) {
  return std::unexpected(make_error(ErrorCode::busy, "{} of {} is held by process {} on host {} since {}",
                                    holder.purpose, space.name(), holder.process.pid,
                                    holder.process.host_name, holder.since)
                             .with_hint("One at a time: wait for that process to end, or stop it."));
}

// Watches a lease whose holder may be dead; returns it as it is when it may be taken.
// Errors: busy, when it shows life; cancelled.
Result<LeaseObject> outwait(const ClusterSpace& space, std::string_view name, LeaseObject seen,
                            const Clock& clock, const LeaseOptions& options) {
  const milliseconds span = std::max(options.time_to_live, seen.content.time_to_live);
  const milliseconds pause = std::max(milliseconds(1), span / looks_per_time_to_live);
  log_info("{} of {} was held on host {}: waiting up to {} ms for a sign of life",
           seen.content.holder.purpose, space.name(), seen.content.holder.process.host_name, span.count());
  const SteadyTime start = clock.steady();
  while (clock.steady() - start < span) {
    if (options.cancellation == nullptr) {
      std::this_thread::sleep_for(pause);
    } else {
      options.cancellation->wait_for(pause);
      PGS_CHECK(options.cancellation->check());
    }
    PGS_TRY(LeaseObject now, look(space, name));
    if (now.version == seen.version) continue;
    PGS_TRY(const Liveness state, liveness(now.content));
    if (state != Liveness::dead) return held(space, now.content.holder);
    return now;
  }
  return seen;
}

// The lease as it is when it may be taken. Errors: busy; cancelled; damaged; newer_format.
Result<LeaseObject> wait_until_free(const ClusterSpace& space, std::string_view name, const Clock& clock,
                                    const LeaseOptions& options) {
  PGS_TRY(LeaseObject seen, look(space, name));
  PGS_TRY(const Liveness state, liveness(seen.content));
  switch (state) {
    case Liveness::alive:
      return held(space, seen.content.holder);
    case Liveness::unknown:
      return outwait(space, name, std::move(seen), clock, options);
    case Liveness::dead:
      break;
  }
  return seen;
}

}  // namespace

struct Lease::State {
  State(const ClusterSpace& cluster_space, std::string lease_name, LeaseContent lease_content,
        std::optional<std::string> seen_version, const Clock& lease_clock)
      : space(cluster_space),
        name(std::move(lease_name)),
        clock(lease_clock),
        content(std::move(lease_content)),
        version(std::move(seen_version)) {
    HeldTokens::instance().add(content.token);
  }
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<void> write();
  Result<void> replace_own();
  void renew_until(const std::stop_token& stop);
  bool stale();
  std::unexpected<Error> lost() const;

  const ClusterSpace space;
  const std::string name;
  const Clock& clock;

  std::mutex writing;                  // one write at a time; taken before `mutex`
  LeaseContent content;                // changes only in the destructor
  std::optional<std::string> version;  // guarded by writing

  std::mutex mutex;
  std::condition_variable_any wake;
  bool held_here = false;  // guarded by mutex, as all below
  SteadyTime renewed{};    // when the last write that succeeded was begun
  Timestamp renewed_wall;  // the same: a steady clock may stand still while the machine sleeps

  std::jthread renewer;
};

Lease::State::~State() {
  if (renewer.joinable()) {
    renewer.request_stop();
    renewer.join();
  }
  if (held_here) {
    content.released = true;
    const auto done = write();
    if (!done.has_value()) {
      log_warning("could not give back the lease of {} on {}: {}", content.holder.purpose, space.name(),
                  done.error().describe());
    }
  }
  HeldTokens::instance().remove(content.token);
}

// Error: busy, when somebody else's is there now; those of the store, when nobody knows.
Result<void> Lease::State::replace_own() {
  constexpr int tries_max = 3;
  for (int tries = 1;; ++tries) {
    auto replaced = space.store().replace(space.object_name(lease_object_name(name)), version,
                                          seal_lease(space, name, content));
    if (replaced.has_value()) {
      version = *std::move(replaced);
      return {};
    }
    if (replaced.error().code() != ErrorCode::busy || tries == tries_max) {
      return std::unexpected(std::move(replaced).error());
    }
    // The answer to an earlier write may have been lost: what is there may be ours. Where nothing is there,
    // nobody has taken it.
    PGS_TRY(LeaseObject there, look(space, name));
    const bool ours_or_none = !there.version || there.content.token == content.token;
    if (!ours_or_none) return std::unexpected(std::move(replaced).error());
    version = std::move(there.version);
  }
}

Result<void> Lease::State::write() {
  const std::lock_guard one_write(writing);
  const SteadyTime begun = clock.steady();
  const Timestamp begun_wall = clock.now();
  auto done = replace_own();
  const std::lock_guard lock(mutex);
  if (done.has_value()) {
    held_here = true;
    renewed = begun;
    renewed_wall = begun_wall;
  } else if (done.error().code() == ErrorCode::busy) {
    held_here = false;
  }
  return done;
}

void Lease::State::renew_until(const std::stop_token& stop) {
  const auto pause = content.time_to_live / renewals_per_time_to_live;
  std::unique_lock lock(mutex);
  while (held_here) {
    wake.wait_for(lock, stop, pause, [] { return false; });
    if (stop.stop_requested()) return;
    lock.unlock();
    const auto done = write();
    if (!done.has_value()) {
      log_warning("could not renew the lease of {} on {}: {}", content.holder.purpose, space.name(),
                  done.error().describe());
    }
    lock.lock();
  }
}

bool Lease::State::stale() {
  // A taker counts the time to live from a renewal that it may have seen at once. The last third is for who
  // has asked check, to finish what he then does.
  const milliseconds limit = content.time_to_live * 2 / 3;
  return clock.steady() - renewed >= limit || clock.now() - renewed_wall >= limit;
}

std::unexpected<Error> Lease::State::lost() const {
  return fail(ErrorCode::busy, "{} of {} was taken over by another process", content.holder.purpose,
              space.name());
}

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;

Result<Lease> Lease::acquire(const ClusterSpace& space, std::string name, std::string purpose,
                             const Clock& clock, LeaseOptions options) {
  constexpr std::size_t token_size_bytes = 16;
  PGS_TRY(const ProcessIdentity self, ProcessIdentity::self());
  while (true) {
    PGS_TRY(LeaseObject free, wait_until_free(space, name, clock, options));
    LeaseContent content{.token = to_hex(random_bytes(token_size_bytes)),
                         .holder = {.process = self, .purpose = purpose, .since = clock.now()},
                         .time_to_live = options.time_to_live};
    auto state = std::make_unique<State>(space, name, std::move(content), std::move(free.version), clock);
    auto taken = state->write();
    if (taken.has_value()) {
      state->renewer =
          std::jthread([held = state.get()](const std::stop_token& stop) { held->renew_until(stop); });
      return Lease(std::move(state));
    }
    // Somebody was quicker: look again.
    if (taken.error().code() != ErrorCode::busy) return std::unexpected(std::move(taken).error());
  }
}

Result<Lease> acquire_to_write(const ClusterSpace& space, std::string name, std::string purpose,
                               const Clock& clock, LeaseOptions options) {
  const std::string object_name = space.object_name(lease_object_name(name));
  std::optional<Error> gone;
  {
    PGS_TRY(Lease lease, Lease::acquire(space, std::move(name), std::move(purpose), clock, options));
    const auto there = space.check_not_shredded();
    if (there.has_value()) return lease;
    gone = there.error();
  }
  // Nothing else would remove it.
  if (gone->code() == ErrorCode::not_found) PGS_CHECK(space.store().remove(object_name));
  return std::unexpected(*std::move(gone));
}

Result<void> Lease::check() const {
  State& state = *state_;
  {
    const std::lock_guard lock(state.mutex);
    if (!state.held_here) return state.lost();
    if (!state.stale()) return {};
  }
  auto renewed = state.write();
  if (renewed.has_value()) {
    const std::lock_guard lock(state.mutex);
    if (!state.stale()) return {};
    return fail(ErrorCode::unavailable,
                "the lease of {} on {} could not be renewed in time: the repository is too slow",
                state.content.holder.purpose, state.space.name());
  }
  if (renewed.error().code() == ErrorCode::busy) return state.lost();
  return std::unexpected(
      make_error(ErrorCode::unavailable, "the lease of {} on {} could not be renewed in time: {}",
                 state.content.holder.purpose, state.space.name(), renewed.error().describe())
          .with_hint(renewed.error().hint()));
}

Result<std::optional<LeaseHolder>> lease_holder(const ClusterSpace& space, std::string_view name) {
  PGS_TRY(LeaseObject seen, look(space, name));
  PGS_TRY(const Liveness state, liveness(seen.content));
  if (state == Liveness::dead) return std::optional<LeaseHolder>();
  return std::optional(std::move(seen.content.holder));
}

Result<std::string> lease_holding(const ClusterSpace& space, std::string_view name) {
  PGS_TRY(LeaseObject seen, look(space, name));
  PGS_TRY(const Liveness state, liveness(seen.content));
  return state == Liveness::dead ? std::string() : std::move(seen.content.token);
}

}  // namespace pgstrata
