// A repository in memory with real WAL and made-up snapshots. For tests only.
#pragma once

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "catalog/wal_reader.h"
#include "catalog/wal_segment.h"
#include "pg/format/wal_samples_for_test.h"
#include "repo/test_store.h"
#include "restore/recovery_plan.h"
#include "restore/wal_search.h"
#include "snapshot/extent_reader.h"
#include "snapshot/file_tree_reader.h"
#include "snapshot/file_tree_writer.h"

namespace pgstrata::testing {

// What `work` returned, or a failed test that says why it returned nothing.
template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result) << result.error().describe() << " / " << result.error().hint();
  return std::move(result).value();
}

inline Bytes noise(std::size_t size_bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

inline const WalSample& wal_sample() {
  static const WalSample sample(15);
  return sample;
}
inline constexpr std::uint32_t segment_bytes = WalSample::segment_size_bytes;

// The sample's records, read without the code under test.
class SampleRecords final : public WalRecordHandler {
 public:
  SampleRecords() {
    auto reader = wal_sample().reader();
    EXPECT_TRUE(reader.feed(wal_sample().bytes, *this));
    end = reader.valid_to();
  }
  Result<void> record(const WalRecord& record) override {
    struct Events final : WalEventHandler {
      RecordFacts facts;
      void transaction_end(const TransactionEnd& end) override { facts.transaction = end; }
      void restore_point(const RestorePoint& point) override { facts.restore_point = point.name; }
      void checkpoint(const Checkpoint&) override {}
      void timeline_switch(const TimelineChange&) override {}
      void database_created(Oid) override {}
      void database_dropped(Oid) override {}
      void change(const RelationFile&, ChangeKind, std::uint32_t) override {}
      void page_image(const RelationFile&, std::size_t) override {}
    } events;
    PGS_CHECK(interpret_wal_record(record, events));
    events.facts.start = record.start;
    events.facts.end = record.end;
    if (events.facts.transaction) events.facts.transaction->dropped = {};
    all.push_back(events.facts);
    if (events.facts.transaction) transactions.push_back(events.facts);
    return {};
  }
  std::vector<RecordFacts> all;
  std::vector<RecordFacts> transactions;  // their ends
  Lsn end;
};
inline const SampleRecords& sample_records() {
  static const SampleRecords records;
  return records;
}

using SnapshotFiles = std::map<std::string, Bytes>;

// Stores the files and fills in what the record says of them. A name that ends in "/" is a folder. Over the
// tree of an earlier snapshot, what changed is stored as a difference from what that has at its place.
class FilesOfASnapshot {
 public:
  explicit FilesOfASnapshot(const ClusterSpace& space, const SnapshotRecord* earlier = nullptr)
      : chunks_(must(ChunkStore::open(space, system_clock()))),
        data_(*chunks_, PackKind::data),
        tree_(*chunks_),
        reader_(space) {
    if (earlier != nullptr) earlier_.emplace(space, earlier->tree);
  }

  void write(const SnapshotFiles& files, SnapshotRecord& record) {
    for (const auto& [path, content] : files) {
      if (path.ends_with('/')) {
        tree_.add({path.substr(0, path.size() - 1), EntryKind::directory, 0700, 0, {}});
        continue;
      }
      FileEntry entry{path, EntryKind::regular, 0600, content.size(), {}};
      entry.map = map_of(store(path, content));
      tree_.add(std::move(entry));
      ++record.files;
      record.total_bytes += content.size();
    }
    EXPECT_TRUE(data_.finish());
    record.tree = must(tree_.finish());
    std::set<PackId> packs = data_.packs();
    packs.insert(tree_.packs().begin(), tree_.packs().end());
    record.packs.assign(packs.begin(), packs.end());
  }

 private:
  std::vector<ExtentRef> store(const std::string& path, ByteView content) {
    std::optional<FileEntry> before;
    if (earlier_) before = must(earlier_->find(path));
    std::vector<ExtentRef> extents;
    for (std::uint64_t number = 0; number < extent_count(content.size()); ++number) {
      const auto extent = content.subspan(number * extent_bytes, extent_size(content.size(), number));
      ExtentRef previous;
      if (before && number < extent_count(before->size_bytes))
        previous = must(earlier_->extents(*before, number, 1)).front();
      const auto whole_size = must(reader_.read_whole(previous, whole_));
      extents.push_back(must(data_.put_changed_extent(extent, previous, ByteView(whole_).first(whole_size))));
    }
    return extents;
  }

  PageMap map_of(const std::vector<ExtentRef>& extents) {
    PageMap map;
    if (extents.size() <= PageMap::max_inline_extents) {
      map.extents = extents;
      return map;
    }
    for (std::size_t from = 0; from < extents.size(); from += page_map_leaf_extents) {
      const auto count = std::min<std::size_t>(page_map_leaf_extents, extents.size() - from);
      map.leaves.push_back(must(tree_.put_page_map_leaf(std::span(extents).subspan(from, count))));
    }
    return map;
  }

  std::unique_ptr<ChunkStore> chunks_;
  ChunkWriter data_;
  FileTreeWriter tree_;
  ExtentReader reader_;
  std::optional<FileTreeReader> earlier_;
  Bytes whole_ = Bytes(extent_bytes);
};

// A cluster of version 15 whose WAL is the sample: segments 9 to C of timeline 1.
class SampleCluster {
 public:
  SampleCluster() {
    repository.emplace(must(Repository::create(borrow(store), NoEncryption{}, system_clock())));
    space.emplace(must(repository->create_cluster("app")));
  }

  // The segments from the first on, with indexes. `timeline` is that of the names.
  void seal(std::size_t from, std::size_t to, TimelineId timeline = TimelineId{1}) {
    const auto indexes = must(index_sample(wal_sample(), [] { return std::size_t{segment_bytes}; }));
    Timestamp latest;
    for (std::size_t index = 0; index < to; ++index) {
      latest = std::max(latest, indexes[index].last_end_time);
      if (index < from) continue;
      const Lsn start = wal_sample().start + index * segment_bytes;
      auto writer = must(WalSegmentWriter::create(*space, timeline, start, segment_bytes, system_clock(), 1));
      ASSERT_TRUE(writer.append(segment(index)));
      ASSERT_TRUE(writer.commit({system(), timeline, start, start + segment_bytes, latest, indexes[index]}));
    }
  }
  // The segment as a tail of its first bytes; a mark where `complete_until` is valid.
  void tail(std::size_t index, std::size_t size_bytes, Timestamp complete_until = {}) {
    const Lsn start = wal_sample().start + index * segment_bytes;
    auto writer = must(WalTailWriter::create(*space, TimelineId{1}, start, segment_bytes));
    ASSERT_TRUE(writer.append(segment(index).first(size_bytes)));
    if (complete_until.valid()) {
      ASSERT_TRUE(writer.mark({start + size_bytes, complete_until}));
    }
    ASSERT_TRUE(writer.sync());
  }
  // The segment's beginning, sealed, as where timeline 1 ended in it.
  void end_timeline(std::size_t index, std::size_t size_bytes) {
    const Lsn start = wal_sample().start + index * segment_bytes;
    auto writer = must(
        WalSegmentWriter::create_partial(*space, TimelineId{1}, start, segment_bytes, system_clock(), 1));
    const auto indexes = must(index_sample(wal_sample(), [] { return std::size_t{segment_bytes}; }));
    ASSERT_TRUE(writer.append(segment(index).first(size_bytes)));
    ASSERT_TRUE(writer.commit(
        {system(), TimelineId{1}, start, start + size_bytes, indexes[index].last_end_time, indexes[index]}));
  }
  // Timeline 2 left timeline 1 there.
  void fork(Lsn at) {
    ASSERT_TRUE(put_timeline_history(*space, TimelineId{2},
                                     as_byte_view(fmt::format("1\t{}\tno recovery target specified\n", at))));
  }
  static ByteView segment(std::size_t index) {
    return ByteView(wal_sample().bytes).subspan(index * segment_bytes, segment_bytes);
  }
  static std::size_t segment_count() { return wal_sample().bytes.size() / segment_bytes; }
  static SystemIdentifier system() { return {7710571362733286733U}; }

  // A snapshot that recovery starts from at `start` and that is consistent once `consistent` has been
  // replayed. With `earlier`, its extents are differences from what that one has.
  SnapshotRecord snapshot(const RecordFacts& start, const RecordFacts& consistent,
                          const SnapshotFiles& files = {}, std::vector<TablespaceEntry> tablespaces = {},
                          TimelineId timeline = TimelineId{1}, const SnapshotRecord* earlier = nullptr) {
    SnapshotRecord record;
    record.id = fmt::format("20261121-1000{:02}-0000", ++snapshots_);
    record.system_identifier = system();
    record.server_version = 150018;
    record.wal_segment_bytes = segment_bytes;
    record.timeline = timeline;
    record.start_lsn = start.start;
    record.consistent_lsn = consistent.end;
    for (const auto& transaction : sample_records().transactions) {
      if (transaction.end <= consistent.end) record.consistent_time = transaction.transaction->time;
    }
    record.tablespaces = std::move(tablespaces);
    FilesOfASnapshot(*space, earlier).write(files, record);
    EXPECT_TRUE(put_snapshot(*space, record));
    return record;
  }

  Result<RecoveryPlan> plan(TargetPoint point, bool inclusive = true,
                            std::optional<TimelineId> timeline = {}) {
    ClusterRecord record;
    record.system_identifier = system();
    record.wal_segment_bytes = segment_bytes;
    return plan_recovery(*space, record,
                         {.point = std::move(point), .inclusive = inclusive, .timeline = timeline},
                         cancellation);
  }

  MemoryStore store;
  Cancellation cancellation;
  std::optional<Repository> repository;
  std::optional<ClusterSpace> space;

 private:
  int snapshots_ = 0;
};

// The files of a small data directory, with the control file of the sample's server.
inline SnapshotFiles data_directory_files() {
  auto control = read_sample("pg_control_15.zst");
  SnapshotFiles files{{"base/", {}},
                      {"base/5/", {}},
                      {"global/", {}},
                      {"pg_wal/", {}},
                      {"pg_tblspc/", {}},
                      {"pg_wal/archive_status/", {}},
                      {"PG_VERSION", to_bytes("15\n")},
                      {"postgresql.auto.conf", to_bytes("work_mem = '8MB'\n")},
                      {"base/5/empty", {}},
                      {"base/5/1259", noise(24576, 1)},
                      {"base/5/16384", noise(3 * extent_bytes + 8192, 2)},
                      {"base/5/16390", Bytes(20 * extent_bytes)},  // zeros, with a page map of its own
                      {"global/pg_control", std::move(control)}};
  auto& sparse = files["base/5/16390"];
  const auto page = noise(page_size, 3);
  std::ranges::copy(page, sparse.begin() + 5 * extent_bytes);
  return files;
}

// The same a little later: changed within pages, grown, cut, and with a page that is all new; no extent so
// much that it would be stored whole.
inline SnapshotFiles changed_data_directory_files() {
  auto files = data_directory_files();
  const auto change = [&](const std::string& path, std::size_t at) { files[path][at] ^= std::byte{0x40}; };
  change("base/5/1259", 20'000);
  append(files["base/5/1259"], noise(page_size, 4));
  change("base/5/16384", 9000);
  change("base/5/16384", extent_bytes - 1);
  change("base/5/16384", 2 * extent_bytes + 3 * page_size);
  files["base/5/16384"].resize(3 * extent_bytes + 5000);
  change("base/5/16390", 5 * extent_bytes + 17);
  change("global/pg_control", 4000);
  return files;
}

// The packs that hold differences of the snapshot, each with the files that need it.
inline std::map<PackId, std::set<std::string>> packs_of_differences(const ClusterSpace& space,
                                                                    const SnapshotRecord& snapshot) {
  std::map<PackId, std::set<std::string>> packs;
  FileTreeReader tree(space, snapshot.tree);
  EXPECT_TRUE(tree.for_each([&](const FileEntry& file) -> Result<void> {
    for (std::uint64_t number = 0; number < extent_count(file.size_bytes); ++number) {
      PGS_TRY(const auto extents, tree.extents(file, number, 1));
      if (extents.front().difference) packs[extents.front().difference->pack].insert(file.path);
    }
    return {};
  }));
  return packs;
}

}  // namespace pgstrata::testing
