#include "e2e/main_job_page_compare.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <span>

#include <fmt/format.h>

#include "support/child_process.h"

namespace pgstrata::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t page_bytes = 8192;
constexpr std::size_t header_bytes = 24;
constexpr std::size_t reported_differences = 20;
using Page = std::span<std::uint8_t, page_bytes>;

// All in the machine's order, as PostgreSQL writes them.
template <class T>
T get(Page page, std::size_t offset) {
  T value;
  std::memcpy(&value, &page[offset], sizeof value);
  return value;
}
template <class T>
void put(Page page, std::size_t offset, T value) {
  std::memcpy(&page[offset], &value, sizeof value);
}
template <class T>
void clear_bits(Page page, std::size_t offset, T bits) {
  put<T>(page, offset, static_cast<T>(get<T>(page, offset) & static_cast<T>(~bits)));
}

struct Header {
  std::size_t lower;
  std::size_t upper;
  std::size_t special;
};

Header header_of(Page page) {
  return {get<std::uint16_t>(page, 12), get<std::uint16_t>(page, 14), get<std::uint16_t>(page, 16)};
}

struct LinePointer {
  std::size_t offset;
  unsigned flags;
  std::size_t length;
};
constexpr unsigned line_normal = 1;

LinePointer line_pointer(Page page, std::size_t at) {
  const auto bits = get<std::uint32_t>(page, at);
  return {bits & 0x7FFFU, (bits >> 15) & 3U, bits >> 17};
}

template <class Use>
void for_each_line(Page page, const Header& header, const Use& use) {
  for (std::size_t at = header_bytes; at + 4 <= header.lower; at += 4) use(at, line_pointer(page, at));
}

void mask_line_flags(Page page, const Header& header) {
  for_each_line(page, header, [&](std::size_t at, const LinePointer& line) {
    if (line.flags != 0) clear_bits<std::uint32_t>(page, at, 3U << 15);
  });
}

void mask_heap(Page page, const Header& header) {
  constexpr std::size_t command_id = 8;
  constexpr std::size_t infomask = 20;
  constexpr std::uint16_t hints = 0x0F20;  // HEAP_XMIN_*, HEAP_XMAX_*; HEAP_COMBOCID, which no WAL carries
  for_each_line(page, header, [&](std::size_t, const LinePointer& line) {
    const std::size_t padded = (line.length + 7) & ~std::size_t{7};
    if (line.flags != line_normal || line.offset + padded > page_bytes || line.length < header_bytes - 1)
      return;
    clear_bits<std::uint16_t>(page, line.offset + infomask, hints);
    put<std::uint32_t>(page, line.offset + command_id, 0);
    std::ranges::fill(page.subspan(line.offset + line.length, padded - line.length), std::uint8_t{0});
  });
}

// Replay makes a deleted GIN page anew and empty; where it was deleted, its content stays (PostgreSQL:
// gin_mask). Told from SP-GiST, BRIN and sequences, whose special space is as large, by the last two bytes.
bool is_deleted_gin_page(Page page, const Header& header) {
  constexpr std::uint16_t all_flags = 0x00FF;
  constexpr std::uint16_t deleted = 0x0004;
  const auto flags = get<std::uint16_t>(page, page_bytes - 2);
  return page_bytes - header.special == 8 && (flags & ~all_flags) == 0 && (flags & deleted) != 0;
}

// Its content is where other pages have their hole.
bool is_brin_range_map(Page page, const Header& header) {
  constexpr std::uint16_t range_map = 0xF092;
  return page_bytes - header.special == 8 && get<std::uint16_t>(page, page_bytes - 2) == range_map;
}

// By the last two bytes of the special space, as pg_filedump tells access methods apart.
void mask_index(Page page, const Header& header) {
  const std::size_t special_bytes = page_bytes - header.special;
  const auto identity = get<std::uint16_t>(page, page_bytes - 2);
  constexpr std::uint16_t hash = 0xFF80;
  constexpr std::uint16_t gist = 0xFF81;
  constexpr std::uint16_t spgist = 0xFF82;
  if (special_bytes == 8 && identity == spgist && (get<std::uint16_t>(page, header.special) & 1U) != 0) {
    // SPGIST_META: after its magic number it remembers pages with room, as a hint that no WAL carries.
    std::ranges::fill(page.subspan(header_bytes + 4, header.special - header_bytes - 4), std::uint8_t{0});
  }
  if (special_bytes != 16) return;  // GIN, SP-GiST, BRIN, sequences
  if (identity == hash) {
    mask_line_flags(page, header);
    clear_bits<std::uint16_t>(page, header.special + 12, 0x0080);  // LH_PAGE_HAS_DEAD_TUPLES
  } else if (identity == gist) {
    mask_line_flags(page, header);
    put<std::uint64_t>(page, header.special, 0);                   // NSN
    clear_bits<std::uint16_t>(page, header.special + 12, 0x0018);  // F_FOLLOW_RIGHT, F_HAS_GARBAGE
  } else {
    mask_line_flags(page, header);
    clear_bits<std::uint16_t>(page, header.special + 12, 0x0060);  // BTP_SPLIT_END, BTP_HAS_GARBAGE
    put<std::uint16_t>(page, header.special + 14, 0);              // vacuum cycle
  }
}

void mask(Page page) {
  const Header header = header_of(page);
  put<std::uint16_t>(page, 8, 0);          // checksum
  clear_bits<std::uint16_t>(page, 10, 7);  // flags
  put<std::uint32_t>(page, 20, 0);         // prune xid
  const bool plausible = header_bytes <= header.lower && header.lower <= header.upper &&
                         header.upper <= header.special && header.special <= page_bytes;
  if (!plausible) return;
  if (is_deleted_gin_page(page, header)) {
    std::ranges::fill(page, std::uint8_t{0});
    return;
  }
  if (!is_brin_range_map(page, header))
    std::ranges::fill(page.subspan(header.lower, header.upper - header.lower), std::uint8_t{0});
  if (header.special == page_bytes) {
    mask_heap(page, header);
  } else {
    mask_index(page, header);
  }
}

bool is_relation_file(const std::string& name) {
  return name.find_first_not_of("0123456789._abcdefghijklmnopqrstuvwxyz") == std::string::npos &&
         std::isdigit(static_cast<unsigned char>(name[0])) != 0;
}

// "16384_vm.1" is of relation 16384.
std::string relation_of(const std::string& name) {
  return name.substr(0, name.find_first_of("._"));
}

class Comparison {
 public:
  Comparison(const fs::path& ours, const fs::path& theirs) : ours_(ours), theirs_(theirs) {}

  PageComparison run() {
    for (const char* folder : {"base", "global"}) compare_relations(folder);
    for (const char* folder : {"pg_xact", "pg_multixact", "pg_commit_ts", "pg_twophase"})
      compare_whole(folder);
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::set<std::string> files(const std::string& folder) const {
    std::set<std::string> names;
    for (const fs::path& root : {ours_, theirs_}) {
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(root).string());
      }
    }
    return names;
  }

  [[nodiscard]] bool is_unlogged(const fs::path& file) const {
    const auto init = file.parent_path() / (relation_of(file.filename().string()) + "_init");
    return fs::exists(ours_ / init) || fs::exists(theirs_ / init);
  }

  void compare_relations(const std::string& folder) {
    for (const std::string& name : files(folder)) {
      const std::string file = fs::path(name).filename().string();
      if (file == "pg_control" || file == "pg_internal.init" || file.find("_fsm") != std::string::npos)
        continue;
      if (!is_relation_file(file)) {
        compare_bytes(name);
      } else if (!is_unlogged(name)) {
        compare_pages(name);
      }
    }
  }
  void compare_whole(const std::string& folder) {
    for (const std::string& name : files(folder)) compare_bytes(name);
  }

  void compare_pages(const std::string& name) {
    std::string ours = read_text(ours_ / name);
    std::string theirs = read_text(theirs_ / name);
    const std::size_t size =
        (std::max(ours.size(), theirs.size()) + page_bytes - 1) / page_bytes * page_bytes;
    ours.resize(size);
    theirs.resize(size);
    for (std::size_t offset = 0; offset < size; offset += page_bytes) {
      ++result_.pages;
      if (std::memcmp(&ours[offset], &theirs[offset], page_bytes) == 0) continue;
      const auto page_at = [offset](std::string& content) {
        return Page(reinterpret_cast<std::uint8_t*>(&content[offset]), page_bytes);
      };
      const Page our_page = page_at(ours);
      const Page their_page = page_at(theirs);
      mask(our_page);
      mask(their_page);
      const auto [one, other] = std::ranges::mismatch(our_page, their_page);
      if (one == our_page.end()) continue;
      report(fmt::format("{} block {}: byte {} is {}, not {}", name, offset / page_bytes,
                         one - our_page.begin(), *one, *other));
    }
  }

  void compare_bytes(const std::string& name) {
    ++result_.other_files;
    if (read_text(ours_ / name) != read_text(theirs_ / name)) report(name + " differs");
  }

  void report(std::string difference) {
    ++result_.difference_count;
    if (result_.differences.size() < reported_differences)
      result_.differences.push_back(std::move(difference));
  }

  fs::path ours_;
  fs::path theirs_;
  PageComparison result_;
};

}  // namespace

PageComparison compare_data_directories(const fs::path& ours, const fs::path& theirs) {
  return Comparison(ours, theirs).run();
}

}  // namespace pgstrata::testing
