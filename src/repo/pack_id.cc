#include <algorithm>

#include "codec/digest.h"
#include "codec/secret.h"
#include "repo/pack.h"

namespace pgstrata {

namespace {
constexpr std::size_t time_size_bytes = 6;
constexpr std::string_view packs_prefix = "packs/";
}  // namespace

PackId new_pack_id(const Clock& clock) {
  PackId id;
  fill_random(id.bytes);
  auto milliseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(clock.now().micros, 0)) / 1000;
  for (std::size_t i = time_size_bytes; i-- > 0; milliseconds >>= 8) {
    id.bytes[i] = static_cast<std::byte>(milliseconds & 0xFF);
  }
  return id;
}

Timestamp created(const PackId& id) {
  std::int64_t milliseconds = 0;
  for (std::size_t i = 0; i < time_size_bytes; ++i)
    milliseconds = milliseconds << 8 | std::to_integer<std::int64_t>(id.bytes[i]);
  return {milliseconds * 1000};
}

std::string to_string(const PackId& id) {
  return to_hex(id.bytes);
}

Result<PackId> parse_pack_id(std::string_view text) {
  PackId id;
  const auto bytes = from_hex(text);
  if (!bytes.has_value() || bytes->size() != id.bytes.size()) {
    return fail(ErrorCode::usage, "\"{}\" is not a pack id: it has 32 hexadecimal digits", text);
  }
  std::ranges::copy(*bytes, id.bytes.begin());
  return id;
}

std::string pack_name(const PackId& id) {
  return fmt::format("{}{}", packs_prefix, to_string(id));
}

Result<std::map<PackId, std::uint64_t>> list_packs(const ClusterSpace& space) {
  PGS_TRY(const auto objects, space.list(packs_prefix));
  std::map<PackId, std::uint64_t> packs;
  for (const auto& object : objects) {
    if (const auto id = parse_pack_id(std::string_view(object.name).substr(packs_prefix.size())))
      packs.emplace(*id, object.size_bytes);
  }
  return packs;
}

SecretKey pack_key(const ClusterSpace& space, const PackId& id) {
  return space.object_key(id.bytes, "pack v1");
}

}  // namespace pgstrata
