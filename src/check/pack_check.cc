#include "check/pack_check.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>

#include "codec/endian.h"

namespace pgstrata {

namespace {

// Of a sample: enough to be worth a request, few enough to make many runs of a pack.
constexpr std::size_t sample_run_chunks = 16;
constexpr double whole_percent = 100;

// A pack by its id is of files or of maps: the name does not say which.
PackDamage damage_of(const Error& error) {
  return {.what = error.describe(),
          .lasting = is_lasting_loss(error),
          .code = error.code(),
          .cure = cure_of(error)};
}

PackDamage whole_damage_of(const Error& error) {
  PackDamage damage = damage_of(error);
  damage.whole = true;
  return damage;
}

using Entries = std::span<const PackDirectoryEntry>;

// What the sample takes of a pack, the same for the same seed whichever thread asks.
std::vector<Entries> chosen_runs(const PackId& id, Entries entries, const ContentSample& sample) {
  if (sample.percent >= whole_percent) return {entries};
  std::vector<Entries> runs;
  if (sample.percent <= 0) return runs;
  std::mt19937_64 random(sample.seed ^ load_little<std::uint64_t>(id.bytes.data() + 8));
  std::uniform_real_distribution<double> percent(0, whole_percent);
  for (std::size_t first = 0; first < entries.size(); first += sample_run_chunks) {
    if (percent(random) >= sample.percent) continue;
    runs.push_back(entries.subspan(first, std::min(sample_run_chunks, entries.size() - first)));
  }
  return runs;
}

struct OnePack {
  std::optional<PackDamage> damage;
  std::vector<ChunkLocation> chunks;
  std::uint64_t chunks_read = 0;
  std::uint64_t bytes_read = 0;
};

// Reads those chunks and notes the damaged ones.
Result<void> read_chunks(PackReader& pack, Entries entries, OnePack& checked,
                         const Cancellation& cancellation) {
  checked.chunks_read += entries.size();
  for (const auto& entry : entries) checked.bytes_read += entry.location.stored_size;
  return pack.read_entries(
      entries, [&](const PackDirectoryEntry&, ByteView) { return cancellation.check(); },
      [&](const PackDirectoryEntry& entry, const Error& error) {
        if (!checked.damage) checked.damage = damage_of(error);
        const bool lasting = is_lasting_loss(error);
        checked.damage->lasting = checked.damage->lasting || lasting;
        checked.damage->chunks.emplace(entry.location.offset, lasting);
      });
}

Result<OnePack> check_pack(const ClusterSpace& space, const PackId& id, const ContentSample& sample,
                           const Cancellation& cancellation) {
  PGS_CHECK(cancellation.check());
  OnePack checked;
  auto pack = PackReader::open_of_snapshot(space, pack_name(id));
  if (!pack) {
    if (!is_damage(pack.error())) return std::unexpected(std::move(pack).error());
    checked.damage = whole_damage_of(pack.error());
    return checked;
  }
  for (const auto& entry : pack->directory()) checked.chunks.push_back(entry.location);
  std::ranges::sort(checked.chunks, {}, &ChunkLocation::offset);
  for (const auto& run : chosen_runs(id, pack->directory(), sample)) {
    const auto read = read_chunks(*pack, run, checked, cancellation);
    if (read) continue;
    if (!is_damage(read.error())) return std::unexpected(read.error());
    checked.damage = whole_damage_of(read.error());
    break;
  }
  return checked;
}

}  // namespace

bool is_lasting_loss(const Error& error) {
  return error.code() == ErrorCode::not_found || is_lasting_damage(error);
}

std::string cure_of(const Error& error) {
  const bool may_pass = error.code() == ErrorCode::damaged && !is_lasting_damage(error);
  return may_pass ? error.hint() : std::string();
}

std::optional<ChunkFault> PackCheck::fault_of(const ChunkRef& ref) const {
  if (const auto pack = damaged.find(ref.pack); pack != damaged.end()) {
    const PackDamage& damage = pack->second;
    if (damage.whole) return ChunkFault{damage.what, damage.lasting};
    const auto chunk = damage.chunks.find(ref.location.offset);
    if (chunk != damage.chunks.end()) return ChunkFault{damage.what, chunk->second};
  }
  const auto listed = chunks.find(ref.pack);
  // Nobody has looked for it, so it may be there.
  if (listed == chunks.end()) return ChunkFault{"it is not among the packs that the snapshots name", false};
  const auto chunk =
      std::ranges::lower_bound(listed->second, ref.location.offset, {}, &ChunkLocation::offset);
  if (chunk != listed->second.end() && *chunk == ref.location) return std::nullopt;
  return ChunkFault{fmt::format("it has no chunk of {} bytes at {}, which a snapshot needs",
                                ref.location.stored_size, ref.location.offset)};
}

bool PackCheck::is_only_unlisted(const ChunkRef& ref) const {
  const auto pack = damaged.find(ref.pack);
  return pack != damaged.end() && pack->second.whole && pack->second.lasting &&
         pack->second.code == ErrorCode::damaged;
}

Result<PackCheck> check_packs(const ClusterSpace& space, const std::vector<PackId>& packs,
                              const PackCheckOptions& options, const Cancellation& cancellation) {
  PackCheck check;
  std::optional<Error> failure;
  std::mutex mutex;  // guards check, failure and on_pack
  std::atomic<std::size_t> next{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1U, options.workers); ++i) {
      threads.emplace_back([&] {
        for (std::size_t at = next++; at < packs.size(); at = next++) {
          auto one = check_pack(space, packs[at], options.sample, cancellation);
          const std::lock_guard lock(mutex);
          if (failure) return;
          if (!one) {
            failure = std::move(one).error();
            return;
          }
          check.chunks_read += one->chunks_read;
          check.chunks_total += one->chunks.size();
          check.chunks.emplace(packs[at], std::move(one->chunks));
          if (one->damage) check.damaged.emplace(packs[at], std::move(*one->damage));
          if (options.on_pack) options.on_pack(one->bytes_read);
        }
      });
    }
  }
  if (failure) return std::unexpected(std::move(*failure));
  return check;
}

}  // namespace pgstrata
