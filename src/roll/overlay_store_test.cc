// An overlay over a small snapshot, changed in every way, stored, and read back: against a model of what is in
// it.
#include "roll/overlay_store.h"

#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sanitized.h"
#include "branch/branch_files.h"
#include "snapshot/extent_reader.h"
#include "snapshot/file_tree_reader.h"
#include "snapshot/file_tree_writer.h"
#include "snapshot/snapshot_test_support.h"
#include "support/child_process.h"

namespace pgstrata {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MemorySpace;
using testing::noise;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

class OverlayStoreTest : public ::testing::Test {
 protected:
  OverlayStoreTest() {
    const auto store = ChunkStore::open(memory_.space, system_clock()).value();
    FileTreeWriter tree(*store);
    tree.add({.path = "base", .kind = EntryKind::directory, .mode = 0700, .size_bytes = 0, .map = {}});
    tree.add({.path = "pg_wal", .kind = EntryKind::directory, .mode = 0700, .size_bytes = 0, .map = {}});
    tree.add({.path = "pg_wal/archive_status",
              .kind = EntryKind::directory,
              .mode = 0700,
              .size_bytes = 0,
              .map = {}});
    snapshot_.tree = tree.finish().value();
    folders_ = {"base", "pg_wal", "pg_wal/archive_status"};
    open();
  }

  // Changes, in the overlay and in the model alike. Paths are the data directory's.
  void make_folder(const std::string& path) {
    ASSERT_TRUE(overlay_->make_folder(node(parent_of(path)), name_of(path), 0700));
    folders_.insert(path);
  }
  void remove_folder(const std::string& path) {
    ASSERT_TRUE(overlay_->remove_folder(node(parent_of(path)), name_of(path)));
    folders_.erase(path);
  }
  void make_file(const std::string& path) {
    ASSERT_TRUE(overlay_->make_file(node(parent_of(path)), name_of(path), 0600));
    files_[path] = {};
  }
  void write(const std::string& path, std::uint64_t offset, const Bytes& bytes) {
    const auto written = overlay_->write(node(path), offset, bytes);
    ASSERT_TRUE(written) << written.error().describe();
    auto& content = files_[path];
    content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()));
    std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void resize(const std::string& path, std::uint64_t size_bytes) {
    ASSERT_TRUE(overlay_->resize(node(path), size_bytes));
    files_[path].resize(size_bytes);
  }
  void rename(const std::string& from, const std::string& to) {
    ASSERT_TRUE(
        overlay_->rename({node(parent_of(from)), name_of(from)}, {node(parent_of(to)), name_of(to)}, true));
    if (folders_.erase(from) > 0) {
      folders_.insert(to);
      for (const auto& below : names_below(from)) move_in_model(below, to + below.substr(from.size()));
    } else {
      move_in_model(from, to);
    }
  }
  void remove(const std::string& path) {
    ASSERT_TRUE(overlay_->remove_file(node(parent_of(path)), name_of(path)));
    files_.erase(path);
  }

  // Stores it, reads everything back, and goes on over what was stored.
  void roll() {
    const auto store = ChunkStore::open(memory_.space, system_clock()).value();
    // The mount's process is gone by then, and another one reads what it left.
    ASSERT_TRUE(overlay_->sync_all());
    open_overlay();
    const Cancellation never;
    const auto stored = store_overlay(memory_.space, snapshot_, *overlay_, *store, 2, never);
    ASSERT_TRUE(stored) << stored.error().describe();
    stored_ = *stored;
    snapshot_.tree = stored->tree;
    snapshot_.packs = stored->packs;
    added_bytes_ = store->added_bytes();
    expect_tree_is_the_model();
    expect_packs_are_those_reached();
    open();
  }

  [[nodiscard]] FileEntry entry(const std::string& path) {
    return FileTreeReader(memory_.space, snapshot_.tree).find(path).value().value();
  }
  [[nodiscard]] std::vector<ExtentRef> extents_of(const FileEntry& file) {
    FileTreeReader tree(memory_.space, snapshot_.tree);
    std::vector<ExtentRef> all;
    const auto count = extent_count(file.size_bytes);
    for (std::uint64_t first = 0; first < count; first += page_map_leaf_extents) {
      const auto some =
          tree.extents(file, first, std::min<std::uint64_t>(page_map_leaf_extents, count - first)).value();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& [path, content] : files_) names.push_back(path);
    return names;
  }

  MemorySpace memory_;
  StoredOverlay stored_;
  std::uint64_t added_bytes_ = 0;
  std::unique_ptr<Overlay> overlay_;

 private:
  static std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

  void open() {
    overlay_.reset();
    scratch_ = std::make_unique<testing::TemporaryDirectory>();
    base_ = open_branch_files(open_snapshot_files(memory_.space, snapshot_),
                              open_wal_files(memory_.space, {16U << 20, Lsn{}, {}, {}}));
    open_overlay();
    const auto data = overlay_->lookup(root_node, std::string(branch_data_folder)).value().node;
    ASSERT_TRUE(overlay_->make_symbolic_link(data, "pg_wal", "../../wal"));
  }
  void open_overlay() {
    overlay_.reset();
    overlay_ = Overlay::open(scratch_->path(), *base_).value();
  }

  NodeId node(const std::string& path) {
    NodeId at = overlay_->lookup(root_node, std::string(branch_data_folder)).value().node;
    for (std::size_t from = 0; from < path.size();) {
      const auto to = std::min(path.find('/', from), path.size());
      at = overlay_->lookup(at, path.substr(from, to - from)).value().node;
      from = to + 1;
    }
    return at;
  }

  [[nodiscard]] std::vector<std::string> names_below(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& [path, content] : files_) {
      if (path.starts_with(folder + "/")) names.push_back(path);
    }
    return names;
  }
  void move_in_model(const std::string& from, const std::string& to) {
    auto moved = files_.extract(from);
    files_[to] = std::move(moved.mapped());
  }

  void expect_tree_is_the_model() {
    FileTreeReader tree(memory_.space, snapshot_.tree);
    ExtentReader reader(memory_.space);
    std::set<std::string> folders;
    std::set<std::string> files;
    std::vector<FileEntry> entries;
    ASSERT_TRUE(tree.for_each([&](const FileEntry& entry) -> Result<void> {
      (entry.kind == EntryKind::directory ? folders : files).insert(entry.path);
      if (entry.kind == EntryKind::regular) entries.push_back(entry);
      return {};
    }));
    EXPECT_EQ(folders, folders_);
    EXPECT_EQ(stored_.files, folders.size() + files.size());
    std::uint64_t total_bytes = 0;
    for (const auto& entry : entries) {
      ASSERT_TRUE(files_.contains(entry.path)) << entry.path;
      expect_content(entry, files_.at(entry.path), reader);
      total_bytes += entry.size_bytes;
    }
    EXPECT_EQ(files.size(), files_.size());
    EXPECT_EQ(stored_.total_bytes, total_bytes);
  }

  // With at most two chunks for each extent, the second never without the first.
  void expect_content(const FileEntry& entry, const Bytes& content, ExtentReader& reader) {
    SCOPED_TRACE(entry.path);
    ASSERT_EQ(entry.size_bytes, content.size());
    const auto extents = extents_of(entry);
    const bool is_inline = extents.size() <= PageMap::max_inline_extents;
    EXPECT_EQ(entry.map.leaves.size(),
              is_inline ? 0 : (extents.size() + page_map_leaf_extents - 1) / page_map_leaf_extents);
    Bytes got(extent_bytes);
    for (std::uint64_t number = 0; number < extents.size(); ++number) {
      EXPECT_TRUE(extents[number].chunk || !extents[number].difference);
      const auto size = extent_size(content.size(), number);
      const auto read = reader.read(extents[number], size, got);
      ASSERT_TRUE(read) << "extent " << number << ": " << read.error().describe();
      ASSERT_EQ(std::memcmp(got.data(), content.data() + number * extent_bytes, size), 0)
          << "extent " << number;
    }
  }

  void expect_packs_are_those_reached() {
    FileTreeReader tree(memory_.space, snapshot_.tree);
    std::set<PackId> reached{snapshot_.tree.pack};
    ASSERT_TRUE(tree.for_each_node([&](const NodeRef& node) -> Result<void> {
      reached.insert(node.chunk.pack);
      return {};
    }));
    std::vector<FileEntry> entries;
    ASSERT_TRUE(tree.for_each([&](const FileEntry& entry) -> Result<void> {
      entries.push_back(entry);
      return {};
    }));
    for (const auto& entry : entries) {
      for (const auto& extent : extents_of(entry)) {
        if (extent.chunk) reached.insert(extent.chunk->pack);
        if (extent.difference) reached.insert(extent.difference->pack);
      }
    }
    EXPECT_EQ(std::vector<PackId>(reached.begin(), reached.end()), stored_.packs);
  }

  SnapshotRecord snapshot_;
  std::set<std::string> folders_;
  std::map<std::string, Bytes> files_;
  std::unique_ptr<testing::TemporaryDirectory> scratch_;
  std::unique_ptr<BaseFiles> base_;
};

TEST_F(OverlayStoreTest, NewFilesAndFolders) {
  make_folder("base/5");
  make_file("base/5/1");
  write("base/5/1", 0, noise(3 * page_size, 1));
  make_file("base/5/empty");
  roll();
  EXPECT_EQ(stored_.changed_extents, 1U);
}

TEST_F(OverlayStoreTest, WhatNobodyTouchedIsStoredNoSecondTime) {
  make_file("base/1");
  write("base/1", 0, noise(20 * extent_bytes, 1));
  roll();
  const auto before = entry("base/1");
  make_file("base/2");
  write("base/2", 0, noise(page_size, 2));
  roll();
  EXPECT_EQ(stored_.changed_extents, 1U);
  EXPECT_EQ(entry("base/1").map.leaves.at(0).chunk, before.map.leaves.at(0).chunk);
  EXPECT_LT(added_bytes_, 4 * page_size);
}

TEST_F(OverlayStoreTest, AChangedPageIsADifferenceFromWhatWasWhole) {
  make_file("base/1");
  write("base/1", 0, noise(2 * extent_bytes, 1));
  roll();
  const auto before = extents_of(entry("base/1"));
  for (std::uint64_t round = 0; round < 5; ++round) {
    write("base/1", extent_bytes + 2 * page_size, noise(100, 10 + round));
    roll();
    EXPECT_EQ(stored_.changed_extents, 1U);
    const auto after = extents_of(entry("base/1"));
    EXPECT_EQ(after.at(0), before.at(0));
    EXPECT_EQ(after.at(1).chunk, before.at(1).chunk) << "one whole, however many rolls";
    EXPECT_TRUE(after.at(1).difference);
  }
}

TEST_F(OverlayStoreTest, GrownCutAndGrownAgain) {
  make_file("base/1");
  write("base/1", 0, noise(3 * extent_bytes + 5 * page_size, 1));
  roll();
  write("base/1", 3 * extent_bytes + 5 * page_size, noise(page_size, 2));  // within its last extent
  roll();
  resize("base/1", 2 * extent_bytes + page_size);
  roll();
  resize("base/1", extent_bytes);
  resize("base/1", 4 * extent_bytes);  // zeros from the first extent on
  roll();
  EXPECT_FALSE(extents_of(entry("base/1")).at(1).chunk) << "zeros take none";
  resize("base/1", 0);
  write("base/1", 0, noise(page_size, 3));
  roll();
}

TEST_F(OverlayStoreTest, RenamedReplacedAndRemoved) {
  for (const auto* path : {"base/1", "base/2", "base/3", "base/4"}) {
    make_file(path);
    write(path, 0, noise(10 * extent_bytes, std::hash<std::string>()(path)));
  }
  make_folder("base/folder");
  make_file("base/folder/1");
  write("base/folder/1", 0, noise(2 * page_size, 7));
  roll();
  rename("base/1", "base/moved");
  rename("base/2", "base/3");  // in its place
  remove("base/4");
  rename("base/folder", "base/other");
  write("base/moved", page_size, noise(100, 8));
  roll();
  EXPECT_EQ(stored_.changed_extents, 1U);
  remove("base/moved");
  make_file("base/moved");  // another one by that name
  write("base/moved", 0, noise(page_size, 9));
  remove("base/other/1");
  remove_folder("base/other");
  roll();
}

TEST_F(OverlayStoreTest, ZerosThatWereWritten) {
  make_file("base/1");
  write("base/1", 0, noise(2 * extent_bytes, 1));
  make_file("base/zeros");
  write("base/zeros", 0, Bytes(2 * extent_bytes));
  roll();
  write("base/1", 0, Bytes(extent_bytes));
  roll();
  EXPECT_FALSE(extents_of(entry("base/1")).at(0).chunk);
  EXPECT_FALSE(extents_of(entry("base/zeros")).at(0).chunk);
  write("base/1", 0, noise(page_size, 2));  // over zeros
  roll();
}

// Maps are in the file's entry up to 8 extents, and in leaves of 1,024 beyond.
TEST_F(OverlayStoreTest, AcrossTheEdgesOfMaps) {
  make_file("base/1");
  write("base/1", 7 * extent_bytes + page_size, noise(page_size, 1));
  roll();
  const std::vector<std::uint64_t> all{9, 8, 1024, 1025, 1030, 1024, 1023, 2049, 9, 8, 3};
  for (const auto extents : sanitized ? std::vector<std::uint64_t>{9, 1024, 1025, 1023, 3} : all) {
    SCOPED_TRACE(extents);
    resize("base/1", extents * extent_bytes);
    write("base/1", (extents - 1) * extent_bytes, noise(page_size, extents));
    roll();
  }
}

TEST_F(OverlayStoreTest, ALeafThatIsTheSameStaysWhereItIs) {
  make_file("base/1");
  resize("base/1", 1025 * extent_bytes);
  write("base/1", 0, noise(page_size, 1));
  roll();
  const auto before = entry("base/1");
  write("base/1", 1024 * extent_bytes, noise(page_size, 2));
  roll();
  EXPECT_EQ(entry("base/1").map.leaves.at(0).chunk, before.map.leaves.at(0).chunk);
  EXPECT_NE(entry("base/1").map.leaves.at(1).tag, before.map.leaves.at(1).tag);
}

TEST_F(OverlayStoreTest, RandomChangesOverManyRolls) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto any = [&]() -> std::string {
      const auto names = files();
      return names.empty() ? "" : names[random() % names.size()];
    };
    for (int round = 0; round < 8; ++round) {
      for (int step = 0; step < 12; ++step) {
        const auto path = any();
        const auto fresh = fmt::format("base/{}-{}-{}", seed, round, step);
        const auto offset = random() % (12 * extent_bytes);
        switch (path.empty() ? 0 : random() % 8) {
          case 0:
            make_file(fresh);
            write(fresh, 0, noise(random() % (10 * extent_bytes), random()));
            break;
          case 1:
            resize(path, offset);
            break;
          case 2:
            rename(path, random() % 2 == 0 ? fresh : any());
            break;
          case 3:
            if (random() % 3 == 0) remove(path);
            break;
          case 4:
            write(path, offset, Bytes(page_size));
            break;
          default:
            write(path, offset / page_size * page_size, noise(1 + random() % page_size, random()));
        }
        ASSERT_FALSE(HasFatalFailure());
      }
      roll();
      ASSERT_FALSE(HasFailure());
    }
  }
}

TEST_F(OverlayStoreTest, WhatIsOneServersOwnIsLeftOut) {
  for (const auto* folder : {"pg_replslot", "global"}) make_folder(folder);
  make_file("global/pg_control");
  roll();
  const auto root = overlay_->lookup(root_node, std::string(branch_data_folder)).value().node;
  const auto put = [&](NodeId folder, const std::string& name) {
    ASSERT_TRUE(overlay_->make_file(folder, name, 0600)) << name;
  };
  const auto folder = [&](const std::string& name) { return overlay_->lookup(root, name).value().node; };
  for (const auto* name : {"postmaster.pid", "postmaster.opts", "standby.signal", "backup_label.old"})
    put(root, name);
  put(folder("global"), "pg_internal.init");
  ASSERT_TRUE(overlay_->make_folder(folder("pg_replslot"), "slot", 0700));
  roll();  // and finds the model's files alone
}

TEST_F(OverlayStoreTest, StopsWhenItIsTold) {
  make_file("base/1");
  write("base/1", 0, noise(extent_bytes, 1));
  const auto store = ChunkStore::open(memory_.space, system_clock()).value();
  Cancellation cancellation;
  cancellation.request();
  SnapshotRecord previous;
  previous.tree = FileTreeWriter(*store).finish().value();
  const auto stored = store_overlay(memory_.space, previous, *overlay_, *store, 1, cancellation);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code(), ErrorCode::cancelled);
}

TEST(LeftOutOfSnapshots, FilesAndFolders) {
  for (const auto* out :
       {"postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "promote", "backup_label",
        "tablespace_map", "pg_replslot/pgstrata_app/state", "pg_stat_tmp/global.stat", "pg_notify/0000",
        "pg_subtrans/0000", "base/5/pg_internal.init", "global/pg_internal.init.123",
        "base/pgsql_tmp/pgsql_tmp1.0", "pg_tblspc/16400/PG_15_202209061/pgsql_tmp",
        "postgresql.auto.conf.tmp", "current_logfiles"})
    EXPECT_TRUE(left_out_of_snapshots(out)) << out;
  for (const auto* in :
       {"base", "base/5/16384", "base/5/16384_vm", "base/5/pg_filenode.map", "global/pg_control",
        "PG_VERSION", "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_replslot", "pg_stat_tmp",
        "pg_stat/pgstat.stat", "pg_xact/0000", "pg_multixact/members/0000", "pg_commit_ts/0000",
        "pg_twophase/00000001", "pg_logical/mappings", "base/5/backup_label", "base/5/promote"})
    EXPECT_FALSE(left_out_of_snapshots(in)) << in;
}

}  // namespace
}  // namespace pgstrata
