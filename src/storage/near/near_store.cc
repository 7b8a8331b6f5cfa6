#include "storage/near/near_store.h"

#include <algorithm>

#include "base/log.h"

namespace pgstrata {
namespace {

// A bound, and more than the segments of WAL that any branch replays.
constexpr std::size_t versions_max = 64U << 10;

}  // namespace

NearStore::NearStore(ObjectStore& beneath, NearStoreOptions options, const Clock& clock)
    : beneath_(beneath),
      options_(std::move(options)),
      folder_(options_.folder, {options_.limit_bytes, options_.free_percent_min}, clock) {}

StoreCapabilities NearStore::capabilities() const {
  auto capabilities = beneath_.capabilities();
  capabilities.far = false;
  return capabilities;
}

Result<ObjectInfo> NearStore::stat(std::string_view name) {
  auto info = beneath_.stat(name);
  if (!info || !options_.is_written_once(name)) return info;
  const std::lock_guard lock(mutex_);
  versions_.insert_or_assign(std::string(name),
                             ObjectVersion{.size_bytes = info->size_bytes, .modified = info->modified});
  if (versions_.size() > versions_max) versions_.erase(versions_.begin());  // of WAL: the oldest
  return info;
}

ObjectVersion NearStore::version_of(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = versions_.find(name);
  return found == versions_.end() ? ObjectVersion() : found->second;
}

Result<std::size_t> NearStore::read_some(std::string_view name, std::uint64_t offset, MutableByteView into) {
  PGS_CHECK(check_object_name(name));
  if (into.empty() || !options_.is_written_once(name)) return beneath_.read_some(name, offset, into);
  NearBlockPlace place{.object = name, .version = version_of(name), .number = offset / near_block_bytes};
  auto within = static_cast<std::size_t>(offset % near_block_bytes);
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t wanted = std::min(into.size() - done, near_block_bytes - within);
    PGS_TRY(const std::size_t got, read_block(place, within, into.subspan(done, wanted)));
    done += got;
    if (got < wanted) break;
    ++place.number;
    within = 0;
  }
  return done;
}

bool NearStore::forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) {
  bool forgotten = beneath_.forget_copies(name, offset, size_bytes);
  if (size_bytes == 0) return forgotten;
  NearBlockPlace place{.object = name, .version = version_of(name), .number = offset / near_block_bytes};
  const std::uint64_t last = (offset + size_bytes - 1) / near_block_bytes;
  for (; place.number <= last; ++place.number) {
    if (folder_.drop(near_block_key(place))) forgotten = true;
  }
  return forgotten;
}

Result<std::size_t> NearStore::read_block(const NearBlockPlace& place, std::size_t offset,
                                          MutableByteView into) {
  const auto key = near_block_key(place);
  if (const auto got = folder_.read(key, offset, into)) return *got;
  PGS_TRY(const auto content, fetch(key, place));
  if (offset >= content->size()) return 0U;
  const std::size_t size = std::min(into.size(), content->size() - offset);
  std::ranges::copy(ByteView(*content).subspan(offset, size), into.begin());
  return size;
}

Result<NearStore::Content> NearStore::fetch(const NearBlockKey& key, const NearBlockPlace& place) {
  std::shared_ptr<Fetch> own;
  {
    std::unique_lock lock(mutex_);
    auto& fetch = fetches_[key];
    if (fetch) {
      const auto others = fetch;
      fetched_.wait(lock, [&] { return others->done; });
      return others->content;
    }
    own = fetch = std::make_shared<Fetch>();
  }
  bool kept = false;
  auto content = fetch_alone(key, place, kept);
  {
    const std::lock_guard lock(mutex_);
    own->content = content;
    own->done = true;
    fetched_.notify_all();
  }
  // Whoever comes now still finds it above.
  if (content && !kept) keep(key, **content);
  const std::lock_guard lock(mutex_);
  fetches_.erase(key);
  return content;
}

Result<NearStore::Content> NearStore::fetch_alone(const NearBlockKey& key, const NearBlockPlace& place,
                                                  bool& kept) {
  auto whole = std::make_shared<Bytes>(near_block_bytes);
  // Whoever fetched it before us may have kept it since we looked.
  if (const auto got = folder_.read(key, 0, *whole)) {
    kept = true;
    whole->resize(*got);
    return whole;
  }
  PGS_TRY(const auto got, beneath_.read_some(place.object, place.number * near_block_bytes, *whole));
  whole->resize(got);
  return whole;
}

void NearStore::keep(const NearBlockKey& key, ByteView content) {
  const auto kept = folder_.keep(key, content);
  if (kept || warned_.exchange(true)) return;
  log_warning("what is read of {} is not kept in {}: {}", describe(), folder_.path().native(),
              kept.error().describe());
}

}  // namespace pgstrata
