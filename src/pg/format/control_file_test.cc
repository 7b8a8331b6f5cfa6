#include "pg/format/control_file.h"

#include <gtest/gtest.h>

#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

Bytes sample(int major) {
  return read_sample("pg_control_" + std::to_string(major) + ".zst");
}

TEST(ControlFile, AgreesWithWhatEachServerSaysOfItself) {
  for (const int major : sample_majors) {
    SCOPED_TRACE(major);
    const Facts facts(major);
    const auto control = parse_control_file(sample(major));
    ASSERT_TRUE(control) << control.error().describe();

    std::istringstream system(facts.text("control_system"));
    std::uint64_t control_version = 0;
    std::uint64_t catalog_version = 0;
    std::uint64_t system_identifier = 0;
    system >> control_version >> catalog_version >> system_identifier;
    EXPECT_EQ(control->control_version, control_version);
    EXPECT_EQ(control->catalog_version, catalog_version);
    EXPECT_EQ(control->system_identifier.value, system_identifier);
    EXPECT_EQ(control->major_version(), major);

    std::istringstream checkpoint(facts.text("control_checkpoint"));
    std::string lsn;
    std::string redo;
    std::uint32_t timeline = 0;
    std::int64_t seconds = 0;
    checkpoint >> lsn >> redo >> timeline >> seconds;
    EXPECT_EQ(to_string(control->checkpoint), lsn);
    EXPECT_EQ(to_string(control->redo), redo);
    EXPECT_EQ(control->timeline.value, timeline);
    EXPECT_EQ(control->checkpoint_time.micros, seconds * 1'000'000);

    std::istringstream init(facts.text("control_init"));
    std::uint32_t segment_size = 0;
    std::uint32_t checksum_version = 99;
    init >> segment_size >> checksum_version;
    EXPECT_EQ(control->wal_segment_size_bytes, segment_size);
    EXPECT_EQ(control->data_checksum_version, checksum_version);

    EXPECT_EQ(control->state, ClusterState::in_production);
    EXPECT_EQ(control->wal_level, WalLevel::logical);
    EXPECT_FALSE(control->wal_log_hints);
    EXPECT_TRUE(control->track_commit_timestamp);
    EXPECT_EQ(control->max_connections, 23U);
    EXPECT_EQ(control->max_worker_processes, 9U);
    EXPECT_EQ(control->max_wal_senders, 5U);
    EXPECT_EQ(control->max_prepared_transactions, 7U);
    EXPECT_EQ(control->max_locks_per_transaction, 70U);
    EXPECT_FALSE(control->minimum_recovery_point.valid());
    EXPECT_FALSE(control->backup_end_required);
    EXPECT_GT(control->next_xid, 480U);
  }
}

TEST(ControlFile, RefusesEachChangedByte) {
  for (const int major : {13, 17, 18}) {
    const Bytes good = sample(major);
    for (std::size_t i = 0; i < (major == 18 ? 296U : 292U); ++i) {
      Bytes bad = good;
      bad[i] ^= std::byte{0x10};
      EXPECT_FALSE(parse_control_file(bad)) << i;
    }
  }
}

TEST(ControlFile, RefusesShortAndForeignFiles) {
  const Bytes good = sample(15);
  EXPECT_EQ(parse_control_file(ByteView(good).first(100)).error().code(), ErrorCode::damaged);
  EXPECT_EQ(parse_control_file({}).error().code(), ErrorCode::damaged);
  Bytes older = good;
  older[8] = std::byte{1};
  EXPECT_EQ(parse_control_file(older).error().code(), ErrorCode::unsupported);
}

}  // namespace
}  // namespace pgstrata
