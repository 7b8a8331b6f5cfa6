// A cluster in which things are broken, and how. For tests only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "check/verify.h"
#include "restore/restore_test_support.h"

namespace pgstrata::testing {

// Damaged WAL is told to the log as well.
class SilentSink : public LogSink {
 public:
  SilentSink() { set_log_sink(this); }
  ~SilentSink() override { set_log_sink(nullptr); }
  SilentSink(const SilentSink&) = delete;
  SilentSink& operator=(const SilentSink&) = delete;
  void write(Severity, std::string_view) override {}
};

// Four sealed segments; a snapshot that needs the first alone and one that needs the last. In between is one
// long record.
class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    EXPECT_EQ(SampleCluster::segment_count(), 4U);
    cluster_.seal(0, 4);
    first_ = cluster_.snapshot(record_in(0, 0), record_in(0, 20), data_directory_files());
    auto files = data_directory_files();
    files["base/5/1259"] = noise(24576, 77);
    second_ = cluster_.snapshot(record_in(3, 0), record_in(3, 20), files);
  }

  // The record of that number among those that begin and end in the segment.
  static const RecordFacts& record_in(std::size_t segment, std::size_t number) {
    const Lsn start = wal_sample().start + segment * segment_bytes;
    for (const auto& record : sample_records().all) {
      if (record.start < start || record.end > start + segment_bytes) continue;
      if (number-- == 0) return record;
    }
    throw std::logic_error(fmt::format("segment {} of the sample has fewer records", segment));
  }
  static Lsn segment_at(std::size_t index) { return wal_sample().start + index * segment_bytes; }

  VerifyReport verify(bool unreferenced = false) {
    VerifyOptions options;
    options.unreferenced = unreferenced;
    return verify(options);
  }
  VerifyReport verify(VerifyOptions options) {
    options.workers = 2;
    return must(verify_cluster(*cluster_.space, segment_bytes, options, Cancellation()));
  }
  [[nodiscard]] std::string wal_name(std::size_t index) const {
    return cluster_.space->object_name(wal_object_name(TimelineId{1}, segment_at(index), segment_bytes));
  }
  std::string tail_name() {
    for (const auto& object : must(cluster_.store.list_all(cluster_.space->object_name("wal/")))) {
      if (object.name.ends_with(".tail")) return object.name;
    }
    throw std::logic_error("there is no tail");
  }
  [[nodiscard]] std::string name_of(const SnapshotRecord& snapshot) const {
    return cluster_.space->object_name("snapshots/" + snapshot.id);
  }
  [[nodiscard]] std::string name_of(const PackId& pack) const {
    return cluster_.space->object_name(pack_name(pack));
  }
  void remove(const std::string& name) { ASSERT_TRUE(cluster_.store.remove(name)); }
  // Of the object's bytes, one in the middle.
  void flip(const std::string& name) {
    Bytes content = must(cluster_.store.get(name));
    content[content.size() / 2] ^= std::byte{0x40};
    overwrite(cluster_.store, name, content);
  }
  void truncate(const std::string& name) {
    const Bytes content = must(cluster_.store.get(name));
    overwrite(cluster_.store, name, ByteView(content).first(content.size() / 2));
  }

  // Does each damage in turn, expects the report of one damaged object, and puts the object back.
  void for_each_damage_of(const std::string& name, const std::function<void(const VerifyReport&)>& expect) {
    const Bytes sound = must(cluster_.store.get(name));
    for (const auto* how : {"removed", "flipped", "truncated", "emptied"}) {
      SCOPED_TRACE(fmt::format("{} {}", name, how));
      if (how == std::string_view("removed")) remove(name);
      if (how == std::string_view("flipped")) flip(name);
      if (how == std::string_view("truncated")) truncate(name);
      if (how == std::string_view("emptied")) overwrite(cluster_.store, name, {});
      expect(verify());
      if (how == std::string_view("removed")) {
        ASSERT_TRUE(cluster_.store.put(name, sound));
      } else {
        overwrite(cluster_.store, name, sound);
      }
    }
    EXPECT_TRUE(verify().sound()) << "put back";
  }
  static auto damaged(const std::string& name) { return ::testing::Field(&DamagedObject::name, name); }

  SilentSink silence_;
  SampleCluster cluster_;
  SnapshotRecord first_;
  SnapshotRecord second_;
};

}  // namespace pgstrata::testing
