// An overlay against a model: the same after every change, and after each time that it was opened again; and
// what a crash may leave.
#include "branch/overlay_workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sanitized.h"
#include "support/child_process.h"
#include "support/test_seed.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

using ::testing::Eq;
using testing::TemporaryDirectory;

constexpr int workload_runs = sanitized ? 2 : 12;
constexpr int workload_steps = 200;

std::unique_ptr<Overlay> open_or_throw(const std::filesystem::path& folder, BaseFiles& base,
                                       const OverlayOptions& options = {}) {
  auto overlay = Overlay::open(folder, base, options);
  if (!overlay) throw std::runtime_error(overlay.error().describe());
  return *std::move(overlay);
}

TEST(OverlayWorkloadTest, IsAsTheModelAndStaysSo) {
  for (std::uint64_t seed = 1; seed <= workload_runs; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const TemporaryDirectory folder;
    MemoryBaseFiles base;
    OverlayWorkload workload(base, seed);
    // Some compact their log all the time.
    const OverlayOptions options{
        .compact_log_bytes = seed % 2 == 0 ? 1U : 16U << 20, .settle_after = {}, .settle_least_bytes = 0};
    auto overlay = open_or_throw(folder.path(), base, options);
    for (int step = 1; step <= workload_steps; ++step) {
      SCOPED_TRACE(fmt::format("step {}: {}", step, workload.step(*overlay)));
      if (workload.chance(4)) {
        ASSERT_TRUE(overlay->settle().has_value());
      }
      if (step % 10 == 0 || step < 30) {
        const auto all = OverlayByPath(*overlay).everything();
        ASSERT_TRUE(all.has_value()) << all.error().describe();
        ASSERT_THAT(*all, Eq(workload.everything()));
      }
      if (step % 50 != 0) continue;
      ASSERT_TRUE(overlay->sync_all().has_value());
      overlay.reset();
      overlay = open_or_throw(folder.path(), base, options);
      const auto all = OverlayByPath(*overlay).everything();
      ASSERT_TRUE(all.has_value()) << all.error().describe();
      ASSERT_THAT(*all, Eq(workload.everything()));
    }
  }
}

// What a disk has after a loss of power: all that was synced, and of what came later this and that.
class LossyDisk {
 public:
  LossyDisk(std::filesystem::path folder, std::uint64_t seed) : folder_(std::move(folder)), random_(seed) {
    remember_all();
  }

  // After each sync. Data of other files are not on the disk by that, but may be.
  void remember_log() { synced_log_bytes_ = std::filesystem::file_size(folder_ / "log"); }
  void remember_data(NodeId node) {
    const auto file = folder_ / "data" / std::to_string(node);
    if (std::filesystem::exists(file)) synced_[file.filename()] = content_of(file);
  }
  void remember_all() {
    remember_log();
    for (const auto& file : std::filesystem::directory_iterator(folder_ / "data"))
      synced_[file.path().filename()] = content_of(file.path());
    look();
  }
  // After each step. A file that grows after a cut, or out of a block that the base ends in, is synced first,
  // as it was before the step but for that block.
  void look() {
    const auto log = read_overlay_log(as_byte_view(content_of(folder_ / "log")));
    const auto records = std::span(log->records).subspan(std::min(seen_records_, log->records.size()));
    for (const auto& record : records) {
      if (const auto* limit = std::get_if<LimitRecord>(&record)) synced_before(limit->node, 0, 0);
      if (const auto* run = std::get_if<BlocksRecord>(&record))
        synced_before(run->node, run->first * overlay_block_bytes, run->count * overlay_block_bytes);
      if (const auto* settled = std::get_if<SettledRecord>(&record)) remember_data(settled->node);
    }
    seen_records_ = log->records.size();
    auto data = data_now();
    notice_removed(data);
    before_ = std::move(data);
  }

  void crash_into(const std::filesystem::path& copy) {
    std::filesystem::create_directories(copy / "data");
    copy_files(folder_ / "settled", copy / "settled");  // durable as they are; a file's go after its data
    const auto data = data_now();
    notice_removed(data);
    auto log = content_of(folder_ / "log");
    log.resize(synced_log_bytes_ + below(log.size() - synced_log_bytes_ + 1));
    put(copy / "log", log);
    auto now = synced_;
    for (const auto& [name, content] : data) now[name] = content;
    for (const auto& [name, content] : now) {
      const bool known = synced_.contains(name);
      if (!known && below(3) == 0) continue;  // not even the name is there
      put(copy / "data" / name, known ? mixed(synced_[name], content) : content);
    }
  }

 private:
  using Contents = std::map<std::filesystem::path, std::string>;

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  // Removed files' data go once the log that forgot them is synced, which nobody told us of.
  void notice_removed(const Contents& data) {
    if (std::ranges::any_of(before_, [&](const auto& one) { return !data.contains(one.first); }))
      remember_log();
  }
  void synced_before(NodeId node, std::size_t offset, std::size_t size_bytes) {
    const auto name = std::to_string(node);
    const auto now = content_of(folder_ / "data" / name);
    if (!before_.contains(name)) {
      // Made and synced within the step. How much of what the step wrote came before the sync is not known
      // here: all.
      if (std::filesystem::exists(folder_ / "data" / name)) synced_[name] = now;
      return;
    }
    auto content = before_[name];
    const auto end = std::min({offset + size_bytes, content.size(), now.size()});
    if (offset < end) content.replace(offset, end - offset, now, offset, end - offset);
    synced_[name] = content;
  }
  // Without those that are removed meanwhile.
  [[nodiscard]] Contents data_now() const {
    while (true) {
      Contents now;
      bool whole = true;
      for (const auto& file : std::filesystem::directory_iterator(folder_ / "data")) {
        const auto bytes = read_file(file.path());
        whole = whole && bytes.has_value();
        if (bytes) now[file.path().filename()] = as_text(*bytes);
      }
      if (whole) return now;
    }
  }
  static std::string content_of(const std::filesystem::path& path) {
    const auto bytes = read_file(path);
    return bytes ? std::string(as_text(*bytes)) : "";
  }
  static void put(const std::filesystem::path& path, const std::string& content) {
    if (const auto written = write_file(path, as_byte_view(content)); !written)
      throw std::runtime_error(written.error().describe());
  }
  // Block by block, and either size. What a cut took away is gone only where the cut is there; the rest of a
  // block that was cut in its middle may be zeros without that, on ext4 as well: PostgreSQL cuts at pages.
  std::string mixed(const std::string& old, const std::string& now) {
    const auto size = below(2) == 0 ? old.size() : now.size();
    std::string content(size, '\0');
    for (std::size_t at = 0; at < size; at += overlay_block_bytes) {
      const bool cut = size > now.size() && at + overlay_block_bytes > now.size();
      const auto& from = cut || (at < old.size() && below(2) == 0) ? old : now;
      const auto end = std::min({at + overlay_block_bytes, size, from.size()});
      if (at < end) std::copy(&from[at], &from[end - 1] + 1, &content[at]);
    }
    return content;
  }

  std::filesystem::path folder_;
  std::mt19937_64 random_;
  std::uint64_t synced_log_bytes_ = 0;
  std::size_t seen_records_ = 0;
  Contents before_;
  Contents synced_;
};

bool has_names(const OverlayWorkload::Names& names, const std::map<std::string, std::string>& found) {
  std::map<std::string, std::string> expected;
  for (const auto& [path, file] : names) expected[file ? path : path + "/"] = "";
  return std::ranges::equal(
      expected, found, {}, [](const auto& one) { return one.first; },
      [](const auto& one) { return one.first; });
}

// Which block of what was the base's and synced is as in no version since; nothing when none is.
std::optional<std::uint64_t> strange_block(const ModelFile& file, const std::string& found) {
  const auto known = [&](std::uint64_t at, std::uint64_t end) {
    return std::ranges::any_of(file.versions, [&](const std::string& version) {
      return version.size() >= end &&
             std::string_view(version).substr(at, end - at) == std::string_view(found).substr(at, end - at);
    });
  };
  const auto synced_bytes = std::min<std::uint64_t>(file.base_bytes, file.versions.front().size());
  const auto whole_blocks = std::min<std::uint64_t>(synced_bytes, found.size()) / overlay_block_bytes;
  for (std::uint64_t block = 0; block < whole_blocks; ++block) {
    const auto at = block * overlay_block_bytes;
    // Where the file ended within it, it may be of two moments, as what lies behind the end is.
    const bool ended = std::ranges::any_of(file.versions, [&](const std::string& version) {
      return version.size() > at && version.size() < at + overlay_block_bytes;
    });
    if (!ended && !known(at, at + overlay_block_bytes)) return block;
  }
  return std::nullopt;
}

// A block in few words: bytes and how many of them.
std::string runs(std::string_view content, std::uint64_t block) {
  const auto at = std::min<std::size_t>(block * overlay_block_bytes, content.size());
  auto left = content.substr(at, overlay_block_bytes);
  std::string words;
  while (!left.empty() && words.size() < 200) {
    const auto count = std::min(left.find_first_not_of(left.front()), left.size());
    words += fmt::format("{}*{} ", left.front() == 0 ? '0' : left.front(), count);
    left.remove_prefix(count);
  }
  return words;
}
std::string versions_of(const ModelFile& file, std::uint64_t block) {
  std::string words = ", and was";
  for (const auto& version : file.versions) words += "\n  " + runs(version, block);
  return words;
}

// What of `found` is in no version of the files that these names lead to; empty when it all is.
std::string misfits(const OverlayWorkload::Names& names, const std::map<std::string, std::string>& found) {
  std::string words;
  for (const auto& [path, file] : names) {
    if (!file) continue;
    const auto& content = found.at(path);
    if (const auto strange = strange_block(*file, content)) {
      words += fmt::format("{}: block {} is {}{}\n", path, *strange, runs(content, *strange),
                           versions_of(*file, *strange));
    }
    // What was synced and not changed since is there, whole.
    const bool unchanged = file->versions.size() == 1;
    if (unchanged && content != file->content) words += path + " was synced\n";
  }
  return words;
}

// The same names may have been there at several moments, and have led to different files.
void check_after_crash(const OverlayWorkload& workload, const std::map<std::string, std::string>& found) {
  std::string why = fmt::format("these names were there together at no moment since the last sync: {}",
                                ::testing::PrintToString(found.size()));
  for (const auto& names : workload.names_since()) {
    if (!has_names(names, found)) continue;
    why = misfits(names, found);
    if (why.empty()) return;
  }
  FAIL() << why;
}

TEST(OverlayWorkloadTest, ComesBackFromAnyCrashAsItWasSyncedOrNewer) {
  for (std::uint64_t seed = 1; seed <= workload_runs; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const TemporaryDirectory folder;
    MemoryBaseFiles base;
    OverlayWorkload workload(base, seed);
    auto overlay = open_or_throw(folder.path(), base, {.settle_after = {}, .settle_least_bytes = 0});
    LossyDisk disk(folder.path(), seed);
    for (int step = 1; step <= workload_steps; ++step) {
      const int syncs = workload.syncs();
      const auto words = workload.step(*overlay);
      SCOPED_TRACE(fmt::format("step {}: {}", step, words));
      if (workload.syncs() != syncs) {
        disk.remember_log();
        disk.remember_data(OverlayByPath(*overlay).find(words.substr(5))->node());
      }
      disk.look();
      if (workload.chance(4)) {
        ASSERT_TRUE(overlay->settle().has_value());
        disk.remember_log();
        disk.look();
      }
      if (step % 10 != 0) continue;
      const TemporaryDirectory copy;
      disk.crash_into(copy.path());
      auto again = open_or_throw(copy.path(), base);
      const auto found = OverlayByPath(*again).everything();
      ASSERT_TRUE(found.has_value()) << found.error().describe();
      ASSERT_NO_FATAL_FAILURE(check_after_crash(workload, *found));
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

}  // namespace
}  // namespace pgstrata
