#include "pg/format/backup_manifest.h"

#include <gtest/gtest.h>

#include "codec/digest.h"
#include "pg/format/sample_for_test.h"

namespace pgstrata {
namespace {

struct SeenFile {
  std::string path;
  std::uint64_t size_bytes;
  ManifestChecksum algorithm;
  std::string checksum_hex;
};

class FileCollector final : public ManifestHandler {
 public:
  Result<void> file(const ManifestFile& file) override {
    if (file.path == refuse) return fail(ErrorCode::cancelled, "enough");
    files.push_back({std::string(file.path), file.size_bytes, file.algorithm, to_hex(file.checksum)});
    return {};
  }
  std::vector<SeenFile> files;
  std::string refuse = "/";
};

std::string sealed(const std::string& body) {
  return body + "\"Manifest-Checksum\": \"" + to_hex(sha256(as_byte_view(body))) + "\"}\n";
}

TEST(BackupManifest, ReadsARealOne) {
  const Bytes text = read_sample("backup_manifest_15.zst");
  FileCollector collector;
  const auto manifest = parse_backup_manifest(as_text(text), collector);
  ASSERT_TRUE(manifest) << manifest.error().describe();
  EXPECT_EQ(manifest->version, 1);
  EXPECT_FALSE(manifest->system_identifier.valid());
  EXPECT_EQ(manifest->wal_ranges,
            (std::vector<ManifestWalRange>{{TimelineId{1}, *parse_lsn("0/E00028"), *parse_lsn("0/E00100")}}));
  EXPECT_EQ(manifest->files, collector.files.size());
  EXPECT_GT(manifest->files, 900U);
  const auto& label = collector.files.front();
  EXPECT_EQ(label.path, "backup_label");
  EXPECT_EQ(label.size_bytes, 205U);
  EXPECT_EQ(label.algorithm, ManifestChecksum::crc32c);
  // The manifest's CRC of a file is that of the bytes, lowest first.
  const auto content = read_sample_text("backup_label_15.txt");
  const std::uint32_t crc = crc32c_finish(crc32c_extend(crc32c_begin, as_byte_view(content)));
  EXPECT_EQ(label.checksum_hex, to_hex(std::as_bytes(std::span(&crc, 1))));
}

TEST(BackupManifest, RefusesEachChangedByteOfARealOne) {
  const Bytes good = read_sample("backup_manifest_15.zst");
  for (std::size_t i = 0; i < good.size(); i += 997) {
    Bytes bad = good;
    bad[i] ^= std::byte{1};
    FileCollector collector;
    EXPECT_FALSE(parse_backup_manifest(as_text(bad), collector)) << i;
    EXPECT_TRUE(collector.files.empty());
  }
}

const std::string head2 =
    "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7710570543202180735,\n";

TEST(BackupManifest, ReadsVersionTwoAndOddPaths) {
  FileCollector collector;
  const auto manifest =
      parse_backup_manifest(sealed(head2 +
                                   "\"Files\": [\n{ \"Encoded-Path\": \"62617365ff0a\", \"Size\": "
                                   "18446744073709551615, \"Last-Modified\": "
                                   "\"x\" },\n{ \"Path\": \"a\\\"\\u00e9\", \"Size\": 0, \"Last-Modified\": "
                                   "\"x\", \"Checksum-Algorithm\": "
                                   "\"SHA224\", \"Checksum\": \"" +
                                   std::string(56, 'a') +
                                   "\" }\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 2, \"Start-LSN\": \"0/1\", "
                                   "\"End-LSN\": \"0/2\" },\n{ "
                                   "\"Timeline\": 3, \"Start-LSN\": \"0/2\", \"End-LSN\": \"1/0\" }\n],\n"),
                            collector);
  ASSERT_TRUE(manifest) << manifest.error().describe();
  EXPECT_EQ(manifest->system_identifier.value, 7710570543202180735U);
  EXPECT_EQ(manifest->wal_ranges.size(), 2U);
  ASSERT_EQ(collector.files.size(), 2U);
  EXPECT_EQ(collector.files[0].path, "base\xff\n");
  EXPECT_EQ(collector.files[0].size_bytes, UINT64_MAX);
  EXPECT_EQ(collector.files[0].algorithm, ManifestChecksum::none);
  EXPECT_EQ(collector.files[1].path, "a\"\xc3\xa9");
  EXPECT_EQ(collector.files[1].algorithm, ManifestChecksum::sha224);
}

TEST(BackupManifest, PassesOnTheHandlersError) {
  FileCollector collector;
  collector.refuse = "b";
  const auto manifest = parse_backup_manifest(
      sealed(head2 + "\"Files\": [ {\"Path\": \"a\", \"Size\": 1}, {\"Path\": \"b\", \"Size\": 1} ],\n"),
      collector);
  EXPECT_EQ(manifest.error().code(), ErrorCode::cancelled);
  EXPECT_EQ(collector.files.size(), 1U);
}

TEST(BackupManifest, RefusesWhatIsNotOne) {
  const std::string files = "\"Files\": [ {\"Path\": \"a\", \"Size\": 1";
  for (const std::string& body :
       {std::string(""), std::string("{\n"), std::string("[\n"), std::string("{ \"Files\": [],\n"),
        head2 + "\"Files\": [ [\n", head2 + "\"Files\": {\n", head2 + "\"Other\": [],\n",
        head2 + files + ", \"Checksum\": \"00\"} ],\n",
        head2 + files + ", \"Checksum-Algorithm\": \"MD5\"} ],\n", head2 + files + ", \"More\": \"x\"} ],\n",
        head2 + files + ", \"Size\": -1} ],\n", head2 + files + ", \"Size\": 1.5} ],\n",
        head2 + "\"Files\": [ {\"Path\": \"a\"} ],\n", head2 + "\"Files\": [ {\"Size\": 1} ],\n",
        head2 + "\"Files\": [ {\"Encoded-Path\": \"0\", \"Size\": 1} ],\n",
        head2 + "\"WAL-Ranges\": [ {\"Timeline\": 1, \"Start-LSN\": \"0/2\", \"End-LSN\": \"0/1\"} ],\n",
        head2 + "\"WAL-Ranges\": [ {\"Timeline\": 1} ],\n",
        std::string("{ \"PostgreSQL-Backup-Manifest-Version\": 0,\n"), head2 + "\"Files\": [ null ],\n"}) {
    FileCollector collector;
    const auto manifest = parse_backup_manifest(sealed(body), collector);
    ASSERT_FALSE(manifest) << body;
    EXPECT_EQ(manifest.error().code(), ErrorCode::damaged) << body << manifest.error().describe();
  }
  FileCollector collector;
  for (const auto* text : {"", "\n", "\n\n", "x", "{\"Manifest-Checksum\": \"00\"}\n"}) {
    EXPECT_FALSE(parse_backup_manifest(text, collector));
  }
  EXPECT_EQ(parse_backup_manifest(sealed("{ \"PostgreSQL-Backup-Manifest-Version\": 3,\n"), collector)
                .error()
                .code(),
            ErrorCode::newer_format);
}

}  // namespace
}  // namespace pgstrata
