#include "check/pack_check.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace pgstrata {

namespace {

// A pack by its id is of files or of maps: the name does not say which.
Result<PackReader> open_pack(const ClusterSpace& space, const PackId& id) {
  auto pack = PackReader::open(space, pack_name(id), PackKind::data);
  if (pack || pack.error().code() != ErrorCode::damaged) return pack;
  auto map = PackReader::open(space, pack_name(id), PackKind::map);
  return map ? std::move(map) : std::move(pack);
}

PackDamage damage_of(const Error& error, bool whole) {
  return {error.describe(), whole, {}, error.code(), cure_of(error)};
}

struct OnePack {
  std::optional<PackDamage> damage;
  std::vector<ChunkLocation> chunks;
  std::uint64_t bytes_read = 0;
};

Result<OnePack> check_pack(const ClusterSpace& space, const PackId& id, const Cancellation& cancellation) {
  OnePack checked;
  auto pack = open_pack(space, id);
  if (!pack) {
    if (!is_damage(pack.error())) return std::unexpected(std::move(pack).error());
    checked.damage = damage_of(pack.error(), true);
    return checked;
  }
  checked.bytes_read = pack->size_bytes();
  for (const auto& entry : pack->directory()) checked.chunks.push_back(entry.location);
  std::ranges::sort(checked.chunks, {}, &ChunkLocation::offset);
  const auto read = pack->read_all([&](const PackDirectoryEntry&, ByteView) { return cancellation.check(); },
                                   [&](const PackDirectoryEntry& entry, const Error& error) {
                                     if (!checked.damage) checked.damage = damage_of(error, false);
                                     checked.damage->offsets.insert(entry.location.offset);
                                   });
  if (!read && !is_damage(read.error())) return std::unexpected(read.error());
  if (!read) checked.damage = damage_of(read.error(), true);
  return checked;
}

}  // namespace

bool is_damage(const Error& error) {
  return error.code() == ErrorCode::damaged || error.code() == ErrorCode::not_found ||
         error.code() == ErrorCode::newer_format;
}

std::string cure_of(const Error& error) {
  const bool may_pass = error.code() == ErrorCode::damaged && !is_lasting_damage(error);
  return may_pass ? error.hint() : std::string();
}

std::string PackCheck::fault_of(const ChunkRef& ref) const {
  const auto pack = damaged.find(ref.pack);
  if (pack != damaged.end() && (pack->second.whole || pack->second.offsets.contains(ref.location.offset))) {
    return pack->second.what;
  }
  const auto read = chunks.find(ref.pack);
  if (read == chunks.end()) return "it is not among the packs that the snapshots name";
  const auto chunk = std::ranges::lower_bound(read->second, ref.location.offset, {}, &ChunkLocation::offset);
  if (chunk != read->second.end() && *chunk == ref.location) return {};
  return fmt::format("it has no chunk of {} bytes at {}, which a snapshot needs", ref.location.stored_size,
                     ref.location.offset);
}

Result<PackCheck> check_packs(const ClusterSpace& space, const std::vector<PackId>& packs, unsigned workers,
                              const Cancellation& cancellation,
                              const std::function<void(std::uint64_t bytes)>& on_pack) {
  PackCheck check;
  std::optional<Error> failure;
  std::mutex mutex;  // guards check, failure and on_pack
  std::atomic<std::size_t> next{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1U, workers); ++i) {
      threads.emplace_back([&] {
        for (std::size_t at = next++; at < packs.size(); at = next++) {
          auto one = check_pack(space, packs[at], cancellation);
          const std::lock_guard lock(mutex);
          if (failure) return;
          if (!one) {
            failure = std::move(one).error();
            return;
          }
          check.bytes_read += one->bytes_read;
          check.chunks.emplace(packs[at], std::move(one->chunks));
          if (one->damage) check.damaged.emplace(packs[at], std::move(*one->damage));
          on_pack(one->bytes_read);
        }
      });
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  return check;
}

}  // namespace pgstrata
