#include "storage/near/near_store.h"

#include <algorithm>

#include "base/log.h"

namespace pgstrata {
namespace {

// A bound, and more than the segments of WAL that any branch replays.
constexpr std::size_t versions_max = 64U << 10;
// Whole blocks that cannot be kept would be read in vain, again and again.
constexpr auto keeps_again_after = std::chrono::minutes(1);

}  // namespace

NearStore::NearStore(ObjectStore& beneath, NearStoreOptions options, const Clock& clock)
    : beneath_(beneath),
      options_(std::move(options)),
      clock_(clock),
      folder_(options_.folder, {options_.limit_bytes, options_.free_percent_min}, clock) {}

StoreCapabilities NearStore::capabilities() const {
  auto capabilities = beneath_.capabilities();
  capabilities.far = false;
  return capabilities;
}

Result<ObjectInfo> NearStore::stat(std::string_view name) {
  auto info = beneath_.stat(name);
  if (!info || options_.kept_by(name) != KeptBy::name_and_version) return info;
  const std::lock_guard lock(mutex_);
  versions_.insert_or_assign(std::string(name),
                             ObjectVersion{.size_bytes = info->size_bytes, .modified = info->modified});
  if (versions_.size() > versions_max) versions_.erase(versions_.begin());  // of WAL: the oldest
  return info;
}

std::optional<ObjectVersion> NearStore::version_of(std::string_view name) {
  const auto kept_by = options_.kept_by(name);
  if (kept_by == KeptBy::nothing) return std::nullopt;
  if (kept_by == KeptBy::name) return ObjectVersion();
  const std::lock_guard lock(mutex_);
  const auto found = versions_.find(name);
  return found == versions_.end() ? std::nullopt : std::optional(found->second);
}

Result<std::size_t> NearStore::read_some(std::string_view name, std::uint64_t offset, MutableByteView into) {
  PGS_CHECK(check_object_name(name));
  const auto version = version_of(name);
  if (into.empty() || !version) return beneath_.read_some(name, offset, into);
  NearBlockPlace place{.object = name, .version = *version, .number = offset / near_block_bytes};
  auto within = static_cast<std::size_t>(offset % near_block_bytes);
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t wanted = std::min(into.size() - done, near_block_bytes - within);
    const auto key = near_block_key(place);
    const auto part = into.subspan(done, wanted);
    auto got = folder_.read(key, within, part);
    if (!got && !can_keep()) {
      PGS_TRY(const std::size_t rest, beneath_.read_some(name, offset + done, into.subspan(done)));
      return done + rest;
    }
    if (!got) {
      PGS_TRY(got, read_fetched(key, place, within, part));
    }
    done += *got;
    if (*got < wanted) break;
    ++place.number;
    within = 0;
  }
  return done;
}

bool NearStore::forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) {
  bool forgotten = beneath_.forget_copies(name, offset, size_bytes);
  const auto version = version_of(name);
  if (size_bytes == 0 || !version) return forgotten;
  NearBlockPlace place{.object = name, .version = *version, .number = offset / near_block_bytes};
  const std::uint64_t last = (offset + size_bytes - 1) / near_block_bytes;
  for (; place.number <= last; ++place.number) {
    if (forget_block(near_block_key(place))) forgotten = true;
  }
  return forgotten;
}

// What was fetched may be wrong, too, and be what the caller has read.
bool NearStore::forget_block(const NearBlockKey& key) {
  std::unique_lock lock(mutex_);
  bool fetched = false;
  for (auto found = fetches_.find(key); found != fetches_.end(); found = fetches_.find(key)) {
    const auto fetch = found->second;
    fetched = fetch->forgotten = true;
    if (!fetch->keeping) {
      fetches_.erase(found);
      break;
    }
    fetched_.wait(lock, [&] { return fetch->is_over; });  // for a file to drop
  }
  // Under the lock: whoever fetches it next must not find the file.
  const bool dropped = folder_.drop(key);
  return dropped || fetched;
}

Result<std::size_t> NearStore::read_fetched(const NearBlockKey& key, const NearBlockPlace& place,
                                            std::size_t offset, MutableByteView into) {
  PGS_TRY(const auto content, fetch(key, place));
  if (offset >= content->size()) return 0U;
  const std::size_t size = std::min(into.size(), content->size() - offset);
  std::ranges::copy(ByteView(*content).subspan(offset, size), into.begin());
  return size;
}

// A fetch that the caller has begun. However he leaves it, nobody waits for it any more.
class NearStore::OwnFetch {
 public:
  OwnFetch(NearStore& store, const NearBlockKey& key, std::shared_ptr<Fetch> fetch)
      : store_(store), key_(key), fetch_(std::move(fetch)) {}
  OwnFetch(const OwnFetch&) = delete;
  OwnFetch& operator=(const OwnFetch&) = delete;
  ~OwnFetch() {
    const std::lock_guard lock(store_.mutex_);
    fetch_->keeping = false;
    fetch_->is_over = true;
    const auto found = store_.fetches_.find(key_);
    if (found != store_.fetches_.end() && found->second == fetch_) store_.fetches_.erase(found);
    store_.fetched_.notify_all();
  }

  // To all who wait. Whether it is to be kept: nobody has forgotten it, and who does so now waits until it is.
  bool publish(const Result<Content>& content, bool kept) {
    const std::lock_guard lock(store_.mutex_);
    fetch_->content = content;
    fetch_->keeping = content && !kept && !fetch_->forgotten;
    store_.fetched_.notify_all();
    return fetch_->keeping;
  }

 private:
  NearStore& store_;
  const NearBlockKey key_;
  const std::shared_ptr<Fetch> fetch_;  // shared with those who wait
};

Result<NearStore::Content> NearStore::fetch(const NearBlockKey& key, const NearBlockPlace& place) {
  auto fetch = std::make_shared<Fetch>();
  {
    std::unique_lock lock(mutex_);
    for (auto found = fetches_.find(key); found != fetches_.end(); found = fetches_.find(key)) {
      const auto others = found->second;
      fetched_.wait(lock, [&] { return others->content || others->is_over; });
      if (others->content) return *others->content;
    }
    fetches_.emplace(key, fetch);
  }
  OwnFetch own(*this, key, std::move(fetch));
  bool kept = false;
  auto content = fetch_alone(key, place, kept);
  // Whoever comes while it is being kept still finds it among the fetches.
  if (own.publish(content, kept)) keep(key, **content);
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
  if (kept) return;
  {
    const std::lock_guard lock(mutex_);
    keeps_from_ = clock_.steady() + keeps_again_after;
  }
  if (warned_.exchange(true)) return;
  log_warning("what is read of {} is not kept in {}, and read again each time: {}", describe(),
              folder_.path().native(), kept.error().describe());
}

bool NearStore::can_keep() {
  const auto now = clock_.steady();
  const std::lock_guard lock(mutex_);
  return now >= keeps_from_;
}

}  // namespace pgstrata
