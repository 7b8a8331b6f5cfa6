// A cluster whose clock, WAL and snapshots a test moves on. For tests only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "check/verify.h"
#include "codec/digest.h"
#include "repo/test_store.h"
#include "restore/restore_test_support.h"
#include "retention/prune.h"
#include "storage/fault/fault_steps.h"
#include "storage/fault/fault_store.h"

namespace pgstrata::testing {

using std::chrono::days;
using std::chrono::hours;

// Segments of zeros, sealed, of timeline 1 unless said otherwise. All methods fail the test where they cannot.
class PassingCluster {
 public:
  static constexpr std::uint32_t wal_segment_bytes = 1U << 20;
  static constexpr Lsn first_segment{10 * std::uint64_t{wal_segment_bytes}};

  explicit PassingCluster(std::unique_ptr<MemoryStore> memory = std::make_unique<MemoryStore>())
      : store(std::move(memory)), space(*store, "app", fixed_key(7)) {}

  // One more segment, which ends now.
  void seal() {
    const Lsn start = end_;
    auto writer = must(WalSegmentWriter::create(space, timeline, start, wal_segment_bytes, clock, 1));
    EXPECT_TRUE(writer.append(Bytes(wal_segment_bytes)));
    WalSegmentSummary summary{{42}, timeline, start, start + wal_segment_bytes, clock.now(), {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.end_lsn;
    summary.index.last_record_end = summary.end_lsn;
    summary.sent = summary.reaches_to = summary.complete_until = clock.now();
    EXPECT_TRUE(writer.commit(summary));
    end_ = summary.end_lsn;
  }

  // A snapshot as of the last segment, in which a few bytes differ from the one before.
  SnapshotRecord snapshot() {
    SnapshotRecord record;
    record.started = clock.now();
    record.id = new_snapshot_id(record.started);
    record.system_identifier = {42};
    record.server_version = 150018;
    record.wal_segment_bytes = wal_segment_bytes;
    record.timeline = timeline;
    record.start_lsn = end_ + -std::uint64_t{1000};
    record.consistent_lsn = end_ + -std::uint64_t{100};
    record.consistent_time = clock.now();
    SnapshotFiles files{{"base/", {}}, {"base/1", noise(1000, 1)}, {"base/2", noise(2000, ++changes_)}};
    for (const auto& [path, content] : more_files) files[path] = content;
    // It may have been superseded.
    if (previous_ && !space.store().stat(space.object_name("snapshots/" + previous_->id)))
      previous_ = must(list_snapshots(space)).snapshots.back();
    FilesOfASnapshot(space, previous_ ? &*previous_ : nullptr).write(files, record);
    EXPECT_TRUE(put_snapshot(space, record));
    previous_ = record;
    return record;
  }

  // Each step a segment and a snapshot.
  void live(int steps, std::chrono::microseconds step) {
    for (int i = 0; i < steps; ++i) {
      clock.pass(step);
      seal();
      snapshot();
    }
  }

  // A pack that nobody refers to, made now.
  PackId stray_pack() {
    const PackId id = new_pack_id(clock);
    auto pack = must(PackWriter::create(space, PackKind::data, id, pack_name(id), 1));
    const Bytes content = noise(500, ++changes_);
    EXPECT_TRUE(pack.append(content, ContentTagger(space.tag_key()).tag(content)));
    EXPECT_TRUE(pack.commit());
    return id;
  }

  Result<PruneReport> try_prune(const RetentionPolicy& policy, bool dry_run = false) {
    return try_prune(space, policy, dry_run);
  }
  Result<PruneReport> try_prune(const ClusterSpace& through, const RetentionPolicy& policy,
                                bool dry_run = false) {
    PruneRequest request{.wal_segment_bytes = wal_segment_bytes,
                         .policy = policy,
                         .dry_run = dry_run,
                         .clock = clock,
                         .cancellation = cancellation,
                         .still_allowed = [] { return Result<void>(); }};
    return prune_cluster(through, request);
  }
  PruneReport prune(const RetentionPolicy& policy, bool dry_run = false) {
    return must(try_prune(policy, dry_run));
  }

  // Path and content of every file, as a digest.
  std::string content_of(const SnapshotRecord& snapshot) const {
    FileTreeReader tree(space, snapshot.tree);
    ExtentReader reader(space);
    Bytes all;
    Bytes extent(extent_bytes);
    EXPECT_TRUE(tree.for_each([&](const FileEntry& file) -> Result<void> {
      append(all, as_byte_view(file.path));
      for (std::uint64_t number = 0; number < extent_count(file.size_bytes); ++number) {
        PGS_TRY(const auto refs, tree.extents(file, number, 1));
        const auto into = MutableByteView(extent).first(extent_size(file.size_bytes, number));
        PGS_CHECK(reader.read(refs.front(), static_cast<std::uint32_t>(into.size()), into));
        append(all, into);
      }
      return {};
    }));
    return to_hex(sha256(all));
  }

  Coverage coverage() { return must(compute_coverage(space, wal_segment_bytes, cancellation)); }
  std::vector<std::string> snapshot_ids() { return must(list_snapshot_ids(space)); }
  std::size_t pack_count() { return must(space.list("packs/")).size(); }
  std::size_t segment_count() { return must(space.list("wal/")).size(); }
  void expect_sound() {
    VerifyOptions options;
    options.workers = 1;
    const auto report = must(verify_cluster(space, wal_segment_bytes, options, cancellation));
    EXPECT_TRUE(report.damaged.empty()) << report.damaged.front().name << ": " << report.damaged.front().what;
    EXPECT_EQ(report.missing_wal.size(), 0U) << "what was let go was not lost";
    EXPECT_EQ(coverage().damaged_snapshots.size(), 0U);
  }
  Lsn end() const { return end_; }
  // From here on all is of another timeline, which leaves the last one here.
  void switch_timeline() {
    timeline = {timeline.value + 1};
    history_ += fmt::format("{}\t{}\tno recovery target specified\n", timeline.value - 1, end_);
    EXPECT_TRUE(put_timeline_history(space, timeline, as_byte_view(history_)));
  }

  std::unique_ptr<MemoryStore> store;
  ClusterSpace space;
  HeldClock clock;
  Cancellation cancellation;
  TimelineId timeline{1};
  SnapshotFiles more_files;

 private:
  Lsn end_ = first_segment;
  std::optional<SnapshotRecord> previous_;
  std::uint64_t changes_ = 100;
  std::string history_;
};

inline RetentionPolicy policy_of(std::chrono::seconds window, std::chrono::seconds daily = {},
                                 std::chrono::seconds weekly = {}) {
  RetentionPolicy policy;
  policy.window = window;
  policy.daily = daily;
  policy.weekly = weekly;
  return policy;
}

inline std::vector<KeepRule> rules_of(const PrunePlan& plan, const std::string& id) {
  const auto fate =
      std::ranges::find(plan.snapshots, id, [](const SnapshotFate& one) { return one.snapshot.id; });
  return fate == plan.snapshots.end() ? std::vector<KeepRule>() : fate->kept_by;
}

// A prune of what `prepare` makes that stops, fails or does not hear the answer at each of its steps from `first` on: what is
// left is sound, and another prune finishes it; then `check` is asked.
inline void at_each_step_of_prune(const std::function<void(PassingCluster&)>& prepare,
                                  const RetentionPolicy& policy, std::uint64_t first,
                                  const std::function<void(PassingCluster&)>& check) {
  for (const auto kind : {Fault::Kind::crash, Fault::Kind::error, Fault::Kind::lost_answer}) {
    for (std::uint64_t step = first;; step += fault_step_stride) {
      PassingCluster cluster;
      prepare(cluster);
      FaultStore faulty(*cluster.store, step);
      faulty.set_fault({.kind = kind, .at_step = step});
      const auto cut_short = cluster.try_prune(ClusterSpace(faulty, "app", cluster.space.key()), policy);
      const std::string when = faulty.last_fault();
      if (when.empty()) {
        EXPECT_TRUE(cut_short);
        EXPECT_GT(step, first + 20) << "it had steps to fail at";
        break;
      }
      SCOPED_TRACE(when);
      cluster.expect_sound();
      must(cluster.try_prune(policy));
      check(cluster);
      EXPECT_THAT(must(cluster.space.list("condemned/")), ::testing::IsEmpty());
      cluster.expect_sound();
      if (::testing::Test::HasFailure()) return;
    }
  }
}

class PruneTest : public ::testing::Test {
 protected:
  PassingCluster cluster_;
};

}  // namespace pgstrata::testing
