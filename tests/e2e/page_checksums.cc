#include "e2e/page_checksums.h"

#include <fmt/format.h>

#include "pg/format/page.h"
#include "pg/format/relation_path.h"
#include "support/child_process.h"

namespace pgstrata::testing {

PageChecksums check_page_checksums(const std::filesystem::path& data_directory) {
  constexpr std::uint32_t segment_blocks = (1U << 30) / page_size;
  PageChecksums checked;
  // Tablespaces are links.
  constexpr auto through_links = std::filesystem::directory_options::follow_directory_symlink;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_directory, through_links)) {
    const std::string name = entry.path().lexically_relative(data_directory).string();
    if (!entry.is_regular_file() || !has_page_checksums(name)) continue;
    const std::string content = read_text(entry.path());
    const auto first = parse_relation_path(name).value().segment * segment_blocks;
    for (std::uint32_t block = 0; (block + 1ULL) * page_size <= content.size(); ++block) {
      const auto page = as_byte_view(content).subspan(block * std::size_t{page_size}).first<page_size>();
      if (!read_page_header(page).is_new()) ++checked.pages;
      if (!verify_page_checksum(page, BlockNumber{first + block}))
        checked.wrong.push_back(fmt::format("{} block {}", name, block));
    }
  }
  return checked;
}

}  // namespace pgstrata::testing
