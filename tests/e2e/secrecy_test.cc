// What somebody learns who has the repository and not its key: nothing of what tables hold or are called.
#include <map>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "codec/compression.h"
#include "codec/digest.h"
#include "e2e/main_job_fixture.h"

namespace pgstrata::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

// Random bytes: zstd stores them as they are, so only encryption hides them.
constexpr std::size_t row_bytes = 1500;
constexpr std::size_t marker_bytes = 16;

// zstd frames that lie anywhere in the bytes.
std::size_t compressed_frames_in(std::string_view bytes) {
  constexpr std::string_view magic = "\x28\xB5\x2F\xFD";
  std::size_t frames = 0;
  for (auto at = bytes.find(magic); at != std::string_view::npos; at = bytes.find(magic, at + 1)) {
    const auto rest = bytes.substr(at);
    const auto size = ZSTD_findFrameCompressedSize(rest.data(), rest.size());
    if (ZSTD_isError(size) == 0 && decompress(as_byte_view(rest.substr(0, size)), 64U << 20)) ++frames;
  }
  return frames;
}

class SecrecyTest : public MainJobTest {
 protected:
  struct Findings {
    std::set<std::string> found;   // markers
    std::set<std::string> places;  // "marker in file"
    std::vector<std::string> compressed;
    std::uint64_t bytes = 0;
  };

  Bytes random_bytes(std::size_t size_bytes) {
    Bytes bytes(size_bytes);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }
  // A name that nothing else has.
  std::string secret_name(const std::string& what) {
    std::string name = what + "_" + to_hex(random_bytes(marker_bytes));
    markers_[what] = name;
    return name;
  }
  // Rows that are to be found where `what` says.
  void write_rows(const PostgresServer& source, const std::string& what) {
    std::vector<std::string> rows;
    for (int row = 0; row < 100; ++row) {
      const Bytes content = random_bytes(row_bytes);
      rows.push_back(fmt::format("('\\x{}')", to_hex(content)));
      if (row % 33 != 0) continue;
      const auto middle = ByteView(content).subspan(row_bytes / 2, marker_bytes);
      markers_[fmt::format("{} {}", what, row)] = std::string(as_text(middle));
    }
    source.query(fmt::format("INSERT INTO {} VALUES {}", markers_.at("table"), fmt::join(rows, ",")));
  }

  // In all files' names and bytes, and in what links lead to.
  [[nodiscard]] Findings scan(const std::filesystem::path& folder) const {
    Findings findings;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string name = entry.path().lexically_relative(folder).string();
      const std::string content = entry.is_symlink()        ? read_symlink(entry.path()).string()
                                  : entry.is_regular_file() ? read_text(entry.path())
                                                            : std::string();
      findings.bytes += content.size();
      if (compressed_frames_in(content) > 0) findings.compressed.push_back(name);
      for (const auto& [what, marker] : markers_) {
        if (content.find(marker) == std::string::npos && name.find(marker) == std::string::npos) continue;
        findings.places.insert(fmt::format("{} in {}", what, name));
        findings.found.insert(what);
      }
    }
    return findings;
  }
  [[nodiscard]] std::set<std::string> all_but(const std::string& what) const {
    std::set<std::string> names;
    for (const auto& [name, marker] : markers_) {
      if (name != what) names.insert(name);
    }
    return names;
  }
  // Objects of the cluster whose names hold `part`.
  [[nodiscard]] std::size_t objects(const std::string& part) const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(repository() / "clusters"))
      count += entry.is_regular_file() && entry.path().string().find(part) != std::string::npos ? 1 : 0;
    return count;
  }

  std::uint64_t seed_ = std::random_device{}();
  std::mt19937_64 random_{seed_};
  std::map<std::string, std::string> markers_;
};

TEST_F(SecrecyTest, NothingOfTheTablesIsReadableInTheRepository) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  PostgresServer source;
  source.start();
  const auto space = directory().make(secret_name("tablespace"));
  source.query(fmt::format("CREATE TABLESPACE space LOCATION '{}'", space.string()));
  source.query(fmt::format("CREATE DATABASE {}", secret_name("database")));
  const auto role = secret_name("role");
  source.query(fmt::format("CREATE ROLE {} LOGIN REPLICATION", role));
  source.query(fmt::format("CREATE TABLE {} (content bytea)", secret_name("table")));
  source.query(fmt::format("ALTER TABLE {} ALTER COLUMN content SET STORAGE EXTERNAL", markers_.at("table")));
  write_rows(source, "row of the snapshot");

  protect(source, source.url(role));
  start_stream(source);
  backup();
  write_rows(source, "row of sealed WAL");
  source.query("SELECT pg_switch_wal()");
  write_rows(source, "row at the end of a timeline");
  wait_until_durable(source);
  stop_stream();
  source.restart_promoted();
  start_stream(source);
  write_rows(source, "row of the tail");
  wait_until_durable(source);
  stop_stream();
  for (const auto* kind : {"/packs/", "/snapshots/", "/timelines/", "/wal/00000001/", ".partial", ".tail"})
    ASSERT_GT(objects(kind), 0U) << kind;

  const Findings stored = scan(repository());
  EXPECT_THAT(stored.places, IsEmpty());
  EXPECT_THAT(stored.compressed, IsEmpty());
  EXPECT_GT(stored.bytes, markers_.size() * row_bytes);

  // The same search finds all of it where it may be read.
  EXPECT_THAT(scan(source.data_directory()).found, IsSupersetOf(all_but("")));
  restore_and_start("restored", {"--latest", "--tablespace", space.string() + "=" + path("new").string()})
      ->stop();
  EXPECT_THAT(scan(path("restored")).found, IsSupersetOf(all_but("tablespace")));
  std::string hidden(as_text(random_bytes(1000)));
  hidden += as_text(compress(random_bytes(1000), 1));
  hidden += as_text(random_bytes(1000));
  EXPECT_EQ(compressed_frames_in(hidden), 1U);
}

}  // namespace
}  // namespace pgstrata::testing
