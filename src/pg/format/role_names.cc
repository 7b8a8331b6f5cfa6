#include "pg/format/role_names.h"

#include <algorithm>

#include "codec/endian.h"
#include "pg/format/page.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t map_magic = 0x592717;
constexpr std::uint32_t mappings_max = 64;

constexpr std::size_t page_header_size = 24;
constexpr std::size_t line_pointer_size = 4;
constexpr std::size_t tuple_header_size = 23;
constexpr std::size_t name_size = 64;
constexpr std::uint32_t normal_line_pointer = 1;
constexpr std::uint16_t xmax_invalid = 0x0800;
constexpr std::uint16_t xmax_only_locks = 0x0080;

struct Version {
  Oid oid;
  std::string name;
  bool deleted = false;  // or about to be
};

std::optional<Version> parse_tuple(ByteView tuple) {
  if (tuple.size() < tuple_header_size) return std::nullopt;
  const auto xmax = load_little<std::uint32_t>(tuple.data() + 4);
  const auto infomask = load_little<std::uint16_t>(tuple.data() + 20);
  const auto header_size = std::to_integer<std::size_t>(tuple[22]);
  if (header_size < tuple_header_size || tuple.size() < header_size + sizeof(std::uint32_t) + name_size)
    return std::nullopt;
  Version version;
  version.oid = {load_little<std::uint32_t>(tuple.data() + header_size)};
  const auto name = as_text(tuple.subspan(header_size + sizeof(std::uint32_t), name_size));
  version.name = name.substr(0, name.find('\0'));
  version.deleted = xmax != 0 && (infomask & (xmax_invalid | xmax_only_locks)) == 0;
  return version;
}

void collect(PageView page, std::vector<Version>& versions) {
  const auto header = read_page_header(page);
  const std::size_t pointers_end = std::min<std::size_t>(header.lower, page.size());
  for (std::size_t at = page_header_size; at + line_pointer_size <= pointers_end; at += line_pointer_size) {
    // 15 bits of offset, 2 of state, 15 of length.
    const auto pointer = load_little<std::uint32_t>(page.data() + at);
    const std::size_t offset = pointer & 0x7FFFU;
    const std::size_t size = pointer >> 17U;
    if (((pointer >> 15U) & 3U) != normal_line_pointer || offset + size > page.size()) continue;
    if (auto version = parse_tuple(ByteView(page).subspan(offset, size)))
      versions.push_back(*std::move(version));
  }
}

}  // namespace

Result<std::uint32_t> mapped_file_number(ByteView filenode_map, Oid relation) {
  ByteReader reader(filenode_map);
  const auto magic = reader.u32();
  const auto count = reader.u32();
  if (reader.failed() || magic != map_magic || count > mappings_max)
    return fail(ErrorCode::damaged, "this is no map of relation files");
  for (std::uint32_t index = 0; index < count; ++index) {
    const Oid mapped{reader.u32()};
    const auto number = reader.u32();
    if (reader.failed()) return fail(ErrorCode::damaged, "the map of relation files is too short");
    if (mapped == relation) return number;
  }
  return fail(ErrorCode::not_found, "the map of relation files has no relation {}", relation);
}

std::vector<std::string> names_of_role(ByteView pg_authid, Oid role) {
  std::vector<Version> versions;
  for (; pg_authid.size() >= page_size; pg_authid = pg_authid.subspan(page_size))
    collect(pg_authid.first<page_size>(), versions);
  std::erase_if(versions,
                [&](const Version& version) { return version.oid != role || version.name.empty(); });
  // The newest are the last.
  std::ranges::reverse(versions);
  std::vector<std::string> names;
  for (const bool deleted : {false, true}) {
    for (const auto& version : versions) {
      const bool known = std::ranges::find(names, version.name) != names.end();
      if (version.deleted == deleted && !known) names.push_back(version.name);
    }
  }
  return names;
}

}  // namespace pgstrata
