// Makes an unencrypted repository in a folder, with a cluster "app" of many snapshots an hour apart, each of which changed some of the
// extents of the one before, in a part of the files that moves on: what `prune` is measured with (bench/measure_prune.py).
//
//   pgs_bench_pruned_repository FOLDER SNAPSHOTS CHUNKS
//
// The extents are short, whatever their place says: prune reads none but those that it stores anew.
#include <algorithm>
#include <array>
#include <iostream>
#include <random>

#include "catalog/cluster_record.h"
#include "catalog/wal_segment.h"
#include "snapshot/file_tree_writer.h"
#include "storage/disk/disk_store.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t wal_segment_bytes = 1U << 20;
constexpr std::uint64_t files = 100;
constexpr std::uint64_t extents_each = page_map_leaf_extents;
constexpr std::size_t chunk_bytes = 300;

class HourClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override { return {start.micros + hours * 3'600'000'000}; }
  [[nodiscard]] SteadyTime steady() const override { return {}; }
  std::int64_t hours = 0;

 private:
  Timestamp start = system_clock().now() - std::chrono::days(100);
};

class Maker {
 public:
  Maker(const ClusterSpace& space, std::size_t snapshots, std::size_t chunks)
      : space_(space), snapshots_(snapshots), changed_each_((chunks - files * extents_each) / snapshots) {
    for (auto& file : map_) file.resize(extents_each);
  }

  Result<void> make() {
    PGS_CHECK(put_cluster_record(space_, {.connection = "host=nowhere",
                                          .system_identifier = {42},
                                          .server_version = 150018,
                                          .wal_segment_bytes = wal_segment_bytes,
                                          .slot = "none",
                                          .data_checksums = false,
                                          .added = clock_.now()}));
    for (std::size_t number = 0; number < snapshots_; ++number) {
      ++clock_.hours;
      PGS_CHECK(seal());
      PGS_CHECK(snapshot(number));
    }
    return {};
  }

 private:
  Result<void> seal() {
    PGS_TRY(auto writer, WalSegmentWriter::create(space_, TimelineId{1}, end_, wal_segment_bytes, clock_, 1));
    PGS_CHECK(writer.append(Bytes(wal_segment_bytes)));
    WalSegmentSummary summary{{42}, TimelineId{1}, end_, end_ + wal_segment_bytes, clock_.now(), {}};
    summary.index.start = summary.start_lsn;
    summary.index.end = summary.index.last_record_end = summary.end_lsn;
    summary.sent = summary.reaches_to = summary.complete_until = clock_.now();
    end_ = summary.end_lsn;
    return writer.commit(summary);
  }

  Result<void> change(ChunkWriter& data, ExtentRef& extent) {
    Bytes content(chunk_bytes);
    for (auto& byte : content) byte = static_cast<std::byte>(random_());
    extent = ExtentRef{data.tag_of(content)};
    PGS_TRY(extent.chunk, data.put(content, extent.tag));
    return {};
  }

  Result<void> snapshot(std::size_t number) {
    PGS_TRY(const auto store, ChunkStore::open(space_, clock_));
    for (const auto& [tag, ref] : nodes_) store->learn(tag, ref);
    ChunkWriter data(*store, PackKind::data);
    for (std::size_t at = 0; number == 0 && at < files * extents_each; ++at)
      PGS_CHECK(change(data, map_[at / extents_each][at % extents_each]));
    // Three files are written to at a time.
    for (std::size_t change_number = 0; change_number < changed_each_; ++change_number)
      PGS_CHECK(change(data, map_[(number / 8 + random_() % 3) % files][random_() % extents_each]));
    PGS_CHECK(data.finish());
    FileTreeWriter tree(*store);
    nodes_.clear();
    for (std::uint64_t file = 0; file < files; ++file) {
      FileEntry entry{
          fmt::format("base/5/{}", 10'000 + file), EntryKind::regular, 0600, extents_each * extent_bytes, {}};
      PGS_TRY(const NodeRef leaf, tree.put_page_map_leaf(map_[file]));
      nodes_.emplace_back(leaf.tag, leaf.chunk);
      entry.map.leaves = {leaf};
      tree.add(std::move(entry));
    }
    PGS_TRY(const ChunkRef root, tree.finish());
    SnapshotRecord record = record_of(root);
    record.packs.assign(tree.packs().begin(), tree.packs().end());
    for (const auto& extents : map_) {
      for (const auto& extent : extents) reached_.insert(extent.chunk->pack);
    }
    record.packs.insert(record.packs.end(), reached_.begin(), reached_.end());
    reached_.clear();
    std::ranges::sort(record.packs);
    return put_snapshot(space_, record);
  }

  SnapshotRecord record_of(const ChunkRef& root) const {
    SnapshotRecord record;
    record.kind = SnapshotKind::rolled;
    record.started = record.finished = record.consistent_time = clock_.now();
    record.id = new_snapshot_id(record.started);
    record.system_identifier = {42};
    record.server_version = 150018;
    record.wal_segment_bytes = wal_segment_bytes;
    record.timeline = TimelineId{1};
    record.start_lsn = {end_.value - 1000};
    record.consistent_lsn = {end_.value - 100};
    record.tree = root;
    record.files = files;
    record.total_bytes = files * extents_each * extent_bytes;
    return record;
  }

  const ClusterSpace& space_;
  const std::size_t snapshots_;
  const std::size_t changed_each_;
  HourClock clock_;
  Lsn end_{10 * std::uint64_t{wal_segment_bytes}};
  std::mt19937_64 random_{4711};
  std::array<std::vector<ExtentRef>, files> map_;
  std::vector<std::pair<ContentTag, ChunkRef>> nodes_;
  std::set<PackId> reached_;
};

Result<void> make(const std::string& folder, std::size_t snapshots, std::size_t chunks) {
  PGS_TRY(auto store, DiskStore::open_or_make(folder));
  PGS_TRY(auto repository, Repository::create(std::move(store), NoEncryption{}, system_clock()));
  PGS_TRY(const auto space, repository.create_cluster("app"));
  return Maker(space, snapshots, chunks).make();
}

}  // namespace
}  // namespace pgstrata

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const auto made = pgstrata::make(arguments[1], std::stoul(arguments[2]), std::stoul(arguments[3]));
  if (!made) std::cerr << made.error().describe() << '\n';
  return made ? 0 : 1;
}
