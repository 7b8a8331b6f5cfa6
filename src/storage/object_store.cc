#include "storage/object_store.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::size_t name_limit_bytes = 512;
constexpr std::size_t part_limit_bytes = 255;
// Large, because a store may have to read a whole folder for each page.
constexpr std::size_t page_limit = 50'000;

bool allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '=' || c == '-';
}

std::string_view fault_of_part(std::string_view part) {
  if (part.empty()) return "has an empty part";
  if (part.front() == '.') return "has a part that begins with \".\"";
  if (part.size() > part_limit_bytes) return "has a part of more than 255 bytes";
  if (!std::ranges::all_of(part, allowed)) return "has a character outside A-Z, a-z, 0-9 and \"._=-/\"";
  return {};
}

}  // namespace

Result<void> check_object_name(std::string_view name) {
  if (name.size() > name_limit_bytes) {
    return fail(ErrorCode::usage, "object name of {} bytes is too long", name.size());
  }
  std::string_view rest = name;
  while (true) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view fault = fault_of_part(rest.substr(0, end));
    if (!fault.empty()) return fail(ErrorCode::usage, "object name \"{}\" {}", name, fault);
    if (end == rest.size()) return {};
    rest.remove_prefix(end + 1);
  }
}

Result<void> check_object_size(std::string_view name, std::uint64_t size_bytes, std::uint64_t limit_bytes) {
  if (size_bytes <= limit_bytes) return {};
  return fail(ErrorCode::damaged, "object \"{}\" of {} bytes is larger than the {} that it can have", name,
              size_bytes, limit_bytes);
}

Result<void> check_replaceable(std::string_view name, ByteView content) {
  if (content.size() <= max_replaceable_bytes) return {};
  return fail(ErrorCode::usage, "{} bytes are too many for the replaceable object \"{}\"", content.size(),
              name);
}

Result<void> ObjectStore::read(std::string_view name, std::uint64_t offset, MutableByteView into) {
  PGS_TRY(std::size_t got, read_some(name, offset, into));
  // It may have seemed to end there when what is kept of it was read.
  if (got < into.size() && forget_copies(name, offset, into.size())) {
    PGS_TRY(got, read_some(name, offset, into));
  }
  if (got == into.size()) return {};
  return fail(ErrorCode::damaged, "object \"{}\" ends before byte {}: there are {} of {} bytes from {} on",
              name, offset + into.size(), got, into.size(), offset);
}

Result<std::vector<ObjectInfo>> ObjectStore::list_all(std::string_view prefix) {
  std::vector<ObjectInfo> all;
  while (true) {
    PGS_TRY(std::vector<ObjectInfo> page, list(prefix, all.empty() ? "" : all.back().name, page_limit));
    const bool last = page.size() < page_limit;
    std::ranges::move(page, std::back_inserter(all));
    if (last) return all;
  }
}

bool is_lasting_damage(const Error& error) {
  return error.code() == ErrorCode::damaged && error.error_number() == 0;
}

}  // namespace pgstrata
