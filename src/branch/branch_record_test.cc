#include "branch/branch_record.h"

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

BranchRecord one() {
  BranchRecord record;
  record.cluster = "app";
  record.name = "look";
  record.repository = "/srv/repository";
  record.created = Timestamp{1'700'000'000'000'000};
  record.expires = Timestamp{1'700'000'600'000'000};
  record.read_only = true;
  record.disposable = true;
  record.target = "2023-11-14 22:13:20";
  record.moment = Timestamp{1'699'999'999'000'000};
  record.last_commit = Timestamp{1'699'999'998'500'000};
  record.snapshot = "20231114-220000-abcd";
  record.timeline = TimelineId{3};
  record.end_lsn = Lsn{0x1234'5678'9ABC'DEF0};
  record.server_version = 150018;
  record.wal_segment_bytes = 16U << 20;
  record.wal = {{TimelineId{2}, Lsn{0x1000000}}, {TimelineId{3}, Lsn{0x2000000}}};
  record.sealed_wal = {{TimelineId{2}, Lsn{0x1000000}}};
  record.wal_settled_to = Lsn{0x1800000};
  record.histories = {TimelineId{2}, TimelineId{3}};
  record.wal_patches = {{Lsn{0x1000100}, Bytes(3, std::byte{7})}};
  record.user = "postgres";
  record.port = 5511;
  record.settings = {{"work_mem", "64MB"}, {"work_mem", "1GB"}};  // in their order
  record.superuser = "admin";
  record.recovered = true;
  record.started = true;
  record.promoted_to = "/srv/data";
  return record;
}

std::string text_of(const BranchRecord& record) {
  const auto bytes = encode_branch_record(record);
  return std::string(as_text(bytes));
}

std::string without(std::string text, std::string_view part) {
  const auto at = text.find(part);
  if (at == std::string::npos) throw std::runtime_error(fmt::format("{} is not in {}", part, text));
  return text.erase(at, part.size());
}

TEST(BranchRecordTest, SaysAgainWhatItWasTold) {
  auto told = one();
  const auto read = decode_branch_record(as_byte_view(text_of(told)));
  ASSERT_TRUE(read.has_value()) << read.error().describe();
  EXPECT_EQ(text_of(*read), text_of(told));
  EXPECT_EQ(read->expires, told.expires);
  EXPECT_EQ(read->end_lsn, told.end_lsn) << "more than a double holds";
  EXPECT_EQ(read->wal, told.wal);
  EXPECT_EQ(read->settings, told.settings);
  EXPECT_TRUE(read->disposable);
  told.expires.reset();
  EXPECT_FALSE(decode_branch_record(as_byte_view(text_of(told)))->expires);
}

TEST(BranchRecordTest, OneFromBeforeRollsSaidSoIsKept) {
  const auto text = without(text_of(one()), "\"disposable\":true,");
  const auto read = decode_branch_record(as_byte_view(text));
  ASSERT_TRUE(read.has_value()) << read.error().describe();
  EXPECT_FALSE(read->disposable);
}

TEST(BranchRecordTest, RefusesWhatItDoesNotUnderstand) {
  const auto code_of = [](std::string_view text) {
    const auto read = decode_branch_record(as_byte_view(text));
    return read ? std::optional<ErrorCode>() : read.error().code();
  };
  const auto text = text_of(one());
  EXPECT_EQ(code_of(""), ErrorCode::damaged);
  EXPECT_EQ(code_of("[]"), ErrorCode::damaged);
  EXPECT_EQ(code_of(std::string_view(text).substr(0, text.size() / 2)), ErrorCode::damaged);
  EXPECT_EQ(code_of(without(text, "\"port\":5511,")), ErrorCode::damaged);
  EXPECT_EQ(code_of(without(text, "\"version\":1")), ErrorCode::damaged);
  auto newer = text;
  newer.replace(newer.find("\"version\":1"), 11, "\"version\":9");
  EXPECT_EQ(code_of(newer), ErrorCode::newer_format);
}

}  // namespace
}  // namespace pgstrata
