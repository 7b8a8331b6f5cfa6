// What is at work on the simulated repositories: the program's own code, called as the program calls it. For tests only.
#pragma once

#include "catalog/cluster_copy.h"
#include "catalog/hold.h"
#include "catalog/lease_names.h"
#include "catalog/wal_reader.h"
#include "catalog/wal_segment.h"
#include "catalog/wal_tail.h"
#include "codec/digest.h"
#include "repo/lease_content.h"
#include "retention/prune.h"
#include "retention/simulated_repository.h"
#include "retention/simulation_scheduler.h"
#include "snapshot/chunk_store.h"
#include "snapshot/file_tree_writer.h"

namespace pgstrata::testing {

// So long that the thread that renews a lease by the real clock has nothing to do while a simulation runs.
inline constexpr std::chrono::hours simulated_time_to_live{1};

// All that the actors of one run share. Used by who has the turn.
struct SimulatedWorld {
  explicit SimulatedWorld(std::uint64_t seed) : scheduler(seed) {}

  struct HeldLease {
    Actor* holder;
    SimulatedRepository* repository;
    std::string name;
  };

  // As if a machine elsewhere had waited for it, taken it over and given it back.
  void end_a_lease() {
    if (leases.empty()) return;
    const HeldLease lease = scheduler.random.one_of(leases);
    for (const auto& other : leases) {
      const bool same = other.repository == lease.repository && other.name == lease.name;
      if (same && other.holder->has_asked_its_lease) return;
    }
    const ClusterSpace& space = lease.repository->space;
    const std::string object = space.object_name(lease_object_name(lease.name));
    const auto there = lease.repository->memory().get_versioned(object);
    if (!there) return;
    LeaseContent taken = open_lease(space, lease.name, there->content).value();
    taken.token = to_hex(random_bytes(16));
    taken.released = true;
    PGS_ASSERT(lease.repository->memory()
                   .replace(object, there->version, seal_lease(space, lease.name, taken))
                   .has_value());
    clock.pass(simulated_time_to_live);
    if (scheduler.random.one_in(2)) lease.holder->weight = 1;  // it does not go on at once
    scheduler.note(lease.holder->name, "loses the lease " + lease.name + " of " + lease.repository->label);
  }

  void let_time_pass() {
    using std::chrono::minutes;
    const auto span =
        scheduler.random.one_of<minutes>({minutes(1), minutes(50), minutes(300), minutes(25 * 60)});
    clock.pass(span);
    scheduler.note("time", fmt::format("{} minutes pass", span.count()));
  }

  void let_something_happen() {
    if (scheduler.random.one_in(2)) {
      end_a_lease();
    } else {
      let_time_pass();
    }
  }

  // What a reader found that nothing it met explains.
  void fail(SimulatedRepository& repository, std::string what) { repository.fail(std::move(what)); }

  HeldClock clock;
  Scheduler scheduler;
  SimulatedRepository source{"source", true, clock};
  SimulatedRepository copy{"copy", false, clock};
  std::vector<HeldLease> leases;
  std::map<Lsn, Timestamp> sealed_at;  // by the segment's start
  std::chrono::seconds shortest_window{0};
  const Cancellation cancellation;
};

// A lease as its holder has it; the world knows of it.
class WorkLease {
 public:
  static Result<std::unique_ptr<WorkLease>> take(SimulatedWorld& world, Actor& actor,
                                                 SimulatedRepository& repository, const ClusterSpace& through,
                                                 const char* name) {
    PGS_TRY(auto lease,
            Lease::acquire(through, name, name, world.clock, {.time_to_live = simulated_time_to_live}));
    world.leases.push_back({&actor, &repository, name});
    return std::unique_ptr<WorkLease>(new WorkLease(world, actor, std::move(lease)));
  }
  ~WorkLease() {
    lease_.reset();
    std::erase_if(world_.leases, [&](const auto& lease) { return lease.holder == &actor_; });
  }
  WorkLease(const WorkLease&) = delete;
  WorkLease& operator=(const WorkLease&) = delete;

  Result<void> check() {
    PGS_CHECK(lease_->check());
    actor_.has_asked_its_lease = true;
    return {};
  }

 private:
  WorkLease(SimulatedWorld& world, Actor& actor, Lease lease)
      : world_(world), actor_(actor), lease_(std::move(lease)) {}

  SimulatedWorld& world_;
  Actor& actor_;
  std::optional<Lease> lease_;
};

// One piece of work of an actor: as a process of its own, which dies alone.
class SimulatedWork {
 public:
  SimulatedWork(SimulatedWorld& world_of_all, Actor& worker, SimulatedRepository& where)
      : world(world_of_all),
        actor(worker),
        repository(where),
        store(where, worker),
        space(store, "app", where.space.key()),
        random(worker.scheduler->random) {
    actor.dead = actor.faulted = false;
  }

  Result<std::unique_ptr<WorkLease>> take_lease(const char* name) {
    return WorkLease::take(world, actor, repository, space, name);
  }

  SimulatedWorld& world;
  Actor& actor;
  SimulatedRepository& repository;
  SteppedStore store;
  const ClusterSpace space;
  SimulationRandom& random;
};

// Few enough that content comes back, also what an interrupted run left; some of it a small change of other content.
inline Bytes simulated_content(std::uint64_t file, SimulationRandom& random) {
  SimulationRandom noise(file * 16 + random.below(3));
  Bytes content(600 + 100 * file);
  noise.fill(content.data(), content.size());
  for (std::uint64_t change = random.below(3); change > 0; --change) content[50 * change] ^= std::byte{0x5A};
  return content;
}

// A base backup or a roll.
class BackupWork : public SimulatedWork {
 public:
  using SimulatedWork::SimulatedWork;

  Result<void> run() {
    PGS_TRY(const auto lease, take_lease(backup_lease_name));
    PGS_TRY(const SnapshotRecord record, store_files());
    PGS_CHECK(lease->check());
    return put_snapshot(space, record);
  }

  // All but the publishing.
  Result<SnapshotRecord> store_files() {
    PGS_TRY(const SnapshotList list, list_snapshots(space));
    PGS_TRY(const WalInventory inventory, WalInventory::load(space, simulated_segment_bytes));
    PGS_TRY(chunks_, ChunkStore::open(space, world.clock));
    std::set<PackId> reached;
    for (const auto& snapshot : list.snapshots) reached.insert(snapshot.packs.begin(), snapshot.packs.end());
    PGS_CHECK(chunks_->adopt_unreferenced(reached));
    SnapshotRecord record = begin(inventory);
    if (!list.snapshots.empty())
      begin_from(random.one_in(2) ? random.one_of(list.snapshots) : list.snapshots.back());
    PGS_CHECK(write_files(record));
    return record;
  }

 private:
  SnapshotRecord begin(const WalInventory& inventory) {
    const Lsn last = last_sealed(inventory).value();
    SnapshotRecord record;
    record.started = world.clock.now();
    record.id = new_snapshot_id(record.started);
    record.system_identifier = {42};
    record.server_version = 150018;
    record.wal_segment_bytes = simulated_segment_bytes;
    record.timeline = {1};
    record.start_lsn = last + 100;
    record.consistent_lsn = last + (simulated_segment_bytes - 100);
    record.consistent_time = world.sealed_at.at(last);
    return record;
  }

  // What was there before is taken over where it did not change, if prune leaves it so long.
  void begin_from(const SnapshotRecord& snapshot) {
    earlier_.emplace(space, snapshot.tree);
    const auto learned = earlier_->for_each_node([&](const NodeRef& node) -> Result<void> {
      chunks_->learn(node.tag, node.chunk);
      return {};
    });
    if (!learned) earlier_.reset();
  }

  Result<void> write_files(SnapshotRecord& record) {
    constexpr std::uint64_t file_count = 3;
    std::set<PackId> packs;
    FileTreeWriter tree(*chunks_);
    for (std::uint64_t file = 0; file < file_count; ++file) {
      // Each as by a thread of its own, with a pack of its own.
      ChunkWriter data(*chunks_, PackKind::data);
      const Bytes content = simulated_content(file, random);
      FileEntry entry{fmt::format("base/{}", file), EntryKind::regular, 0600, content.size(), {}};
      PGS_TRY(const ExtentRef extent, store_extent(data, entry.path, content));
      entry.map.extents.push_back(extent);
      PGS_CHECK(data.finish());
      packs.insert(data.packs().begin(), data.packs().end());
      tree.add(std::move(entry));
    }
    PGS_TRY(record.tree, tree.finish());
    packs.insert(tree.packs().begin(), tree.packs().end());
    record.packs.assign(packs.begin(), packs.end());
    record.files = file_count;
    return {};
  }

  Result<ExtentRef> store_extent(ChunkWriter& data, const std::string& path, ByteView content) {
    ExtentRef previous;
    if (earlier_) {
      PGS_TRY(const auto before, earlier_->find(path));
      if (before) previous = before->map.extents.front();
    }
    if (random.one_in(2)) return data.put_extent(content, &previous);
    Bytes whole(extent_bytes);
    ExtentReader reader(space);
    PGS_TRY(const auto whole_size, reader.read_whole(previous, whole));
    return data.put_changed_extent(content, previous, ByteView(whole).first(whole_size));
  }

  std::unique_ptr<ChunkStore> chunks_;
  std::optional<FileTreeReader> earlier_;
};

// Receives one segment of WAL.
class StreamWork : public SimulatedWork {
 public:
  using SimulatedWork::SimulatedWork;

  Result<void> run() {
    PGS_TRY(const auto lease, take_lease(stream_lease_name));
    PGS_TRY(const WalInventory inventory, WalInventory::load(space, simulated_segment_bytes));
    const Lsn start = next_segment(inventory);
    PGS_TRY(const std::string tail, write_tail(start));
    PGS_TRY(auto writer,
            WalSegmentWriter::create(space, TimelineId{1}, start, simulated_segment_bytes, world.clock, 1));
    PGS_CHECK(writer.append(Bytes(simulated_segment_bytes)));
    const Timestamp now = world.clock.now();
    WalSegmentSummary summary{{42}, TimelineId{1}, start, start + simulated_segment_bytes, now, {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.index.last_record_end = summary.end_lsn;
    summary.sent = summary.reaches_to = summary.complete_until = now;
    world.sealed_at.emplace(start, now);
    PGS_CHECK(lease->check());
    PGS_CHECK(writer.commit(summary));
    return space.store().remove(space.object_name(tail));
  }

 private:
  // What comes before the first byte of it: a mark. Bytes would have to be WAL.
  Result<std::string> write_tail(Lsn start) {
    PGS_TRY(auto tail, WalTailWriter::create(space, TimelineId{1}, start, simulated_segment_bytes));
    PGS_CHECK(tail.mark({start, world.clock.now()}));
    PGS_CHECK(tail.sync());
    return tail.name();
  }

  static Lsn next_segment(const WalInventory& inventory) {
    const auto last = last_sealed(inventory);
    return last ? *last + simulated_segment_bytes : Lsn{10 * std::uint64_t{simulated_segment_bytes}};
  }
};

// A branch or restore: holds what it reads, reads it, and lets it go.
class ReaderWork : public SimulatedWork {
 public:
  using SimulatedWork::SimulatedWork;

  Result<void> run() {
    PGS_TRY(const SnapshotList list, list_whole_snapshots(space));
    PGS_TRY(const WalInventory inventory, WalInventory::load(space, simulated_segment_bytes));
    if (list.snapshots.empty() || inventory.timelines().empty()) return {};
    const SnapshotRecord& snapshot = random.one_of(list.snapshots);
    const WalSegmentIds segments = some_wal(inventory, snapshot);
    if (segments.empty()) return {};
    const Hold hold{.kind = HoldKind::restore,
                    .snapshot = snapshot.id,
                    .timeline = snapshot.timeline,
                    .from_lsn = snapshot.start_lsn,
                    .to_lsn = segments.rbegin()->second + simulated_segment_bytes,
                    .reason = "a simulation"};
    PGS_TRY(const std::string id,
            hold_for_reading(space, hold, segments, simulated_segment_bytes, world.clock));
    world.scheduler.note(actor.name, "holds snapshot " + snapshot.id);
    if (const auto read = read_all(snapshot, inventory, segments); !read) {
      if (!actor.faulted)
        repository.fail(
            fmt::format("{} holds snapshot {}: {}", actor.name, snapshot.id, read.error().describe()));
      return read;
    }
    return remove_hold(space, id);
  }

 private:
  // From the snapshot's start on, as far as it is there.
  WalSegmentIds some_wal(const WalInventory& inventory, const SnapshotRecord& snapshot) {
    WalSegmentIds segments;
    for (Lsn at = inventory.segment_start(snapshot.start_lsn);; at = at + simulated_segment_bytes) {
      const auto* objects = inventory.find(snapshot.timeline, at);
      if (objects == nullptr || objects->sealed.empty()) break;
      segments.emplace(snapshot.timeline, at);
      if (random.one_in(3)) break;
    }
    return segments;
  }

  Result<void> read_all(const SnapshotRecord& snapshot, const WalInventory& inventory,
                        const WalSegmentIds& segments) {
    PGS_CHECK(read_whole_snapshot(space, snapshot));
    for (const auto& [timeline, start] : segments)
      PGS_CHECK(read_wal_segment(space, inventory, timeline, start));
    return read_whole_snapshot(space, snapshot);
  }
};

class PruneWork : public SimulatedWork {
 public:
  using SimulatedWork::SimulatedWork;

  Result<void> run() {
    PGS_TRY(const auto lease, take_lease(prune_lease_name));
    const PruneRequest request{.wal_segment_bytes = simulated_segment_bytes,
                               .policy = some_policy(),
                               .clock = world.clock,
                               .cancellation = world.cancellation,
                               .still_allowed = [&lease] { return lease->check(); }};
    PGS_CHECK(prune_cluster(space, request));
    return {};
  }

 private:
  RetentionPolicy some_policy() {
    using std::chrono::hours;
    RetentionPolicy policy;
    if (random.one_in(8)) return policy;
    policy.window = world.shortest_window + hours(random.one_of<int>({0, 0, 1, 7}));
    if (random.one_in(3)) policy.daily = hours(24);
    return policy;
  }
};

class CopyWork : public SimulatedWork {
 public:
  // `where` is what is copied to.
  CopyWork(SimulatedWorld& world_of_all, Actor& worker, SimulatedRepository& where)
      : SimulatedWork(world_of_all, worker, where),
        source_store_(world.source, worker),
        source_(source_store_, "app", world.source.space.key()) {}

  Result<void> run() {
    PGS_TRY(const auto lease, take_lease(copy_lease_name));
    CopyOptions options;
    options.workers = 1;
    options.still_allowed = [&lease] { return lease->check(); };
    PGS_CHECK(copy_cluster(source_, space, simulated_segment_bytes, options, world.cancellation));
    return {};
  }

 private:
  SteppedStore source_store_;
  const ClusterSpace source_;
};

}  // namespace pgstrata::testing
