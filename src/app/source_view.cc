#include "app/source_view.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "pg/wire/replication_connection.h"

namespace pgstrata {
namespace {

constexpr std::chrono::seconds answer_limit{2};
constexpr std::chrono::milliseconds view_cancellation_poll{50};

Result<SourceView> ask(const ClusterRecord& record, const Cancellation& limit) {
  PGS_TRY(const ConnectionUrl url, ConnectionUrl::parse(record.connection));
  PGS_TRY(ReplicationConnection connection,
          ReplicationConnection::connect(url, {.on_notice = [](Severity, std::string_view) {}}, limit));
  PGS_TRY(const SystemIdentity identity, connection.identify_system());
  SourceView view;
  view.asked = true;
  if (identity.system != record.system_identifier) {
    view.other_cluster = true;
    view.why_not = fmt::format("the server there is another cluster: its system identifier is {}, not {}",
                               identity.system, record.system_identifier);
    return view;
  }
  view.reachable = true;
  view.flush_position = identity.flush_position;
  view.timeline = identity.timeline;
  const auto slot = connection.read_slot(record.slot);
  if (!slot.has_value()) return view;  // before PostgreSQL 15
  view.slot_known = true;
  view.slot_present = slot->has_value();
  if (*slot) view.slot_restart_lsn = (*slot)->restart_lsn;
  return view;
}

// Requests `limit` when time is up or `stop` is requested, until it is dropped.
class TimeLimit {
 public:
  TimeLimit(Cancellation& limit, const Cancellation& stop)
      : thread_([this, &limit, &stop] { run(limit, stop); }) {}
  ~TimeLimit() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 private:
  void run(Cancellation& limit, const Cancellation& stop) {
    const auto deadline = std::chrono::steady_clock::now() + answer_limit;
    std::unique_lock lock(mutex_);
    while (!over_ && !stop.requested() && std::chrono::steady_clock::now() < deadline) {
      changed_.wait_for(lock, view_cancellation_poll);
    }
    if (!over_) limit.request();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

Result<SourceView> view_source(const ClusterRecord& record, const Cancellation& cancellation) {
  Cancellation limit;
  const TimeLimit time_limit(limit, cancellation);
  auto view = ask(record, limit);
  if (view.has_value()) return view;
  PGS_CHECK(cancellation.check());
  SourceView silent;
  silent.asked = true;
  silent.why_not = view.error().code() == ErrorCode::cancelled
                       ? fmt::format("no answer within {} s", answer_limit.count())
                       : view.error().describe();
  return silent;
}

}  // namespace pgstrata
