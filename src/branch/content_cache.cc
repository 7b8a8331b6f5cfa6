#include "branch/content_cache.h"

#include <cstring>

namespace pgstrata {

std::size_t ContentCache::TagHash::operator()(const ContentTag& tag) const noexcept {
  std::size_t hash = 0;
  static_assert(sizeof tag >= sizeof hash);
  std::memcpy(&hash, tag.data(), sizeof hash);  // a tag's bytes are as good as random
  return hash;
}

bool ContentCache::has(const ContentTag& tag) const {
  const std::lock_guard lock(mutex_);
  return entries_.contains(tag);
}

Result<ContentCache::Content> ContentCache::get(const ContentTag& tag, const Load& load) {
  {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto found = entries_.find(tag);
      if (found == entries_.end()) break;
      if (found->second->content) {
        recent_.splice(recent_.begin(), recent_, found->second);
        return found->second->content;
      }
      loaded_.wait(lock);
    }
    recent_.push_front({tag, nullptr});
    entries_[tag] = recent_.begin();
  }
  auto content = load();
  const std::lock_guard lock(mutex_);
  loaded_.notify_all();
  const auto entry = entries_.at(tag);
  if (!content) {
    recent_.erase(entry);
    entries_.erase(tag);
    return std::unexpected(std::move(content).error());
  }
  entry->content = std::make_shared<const Bytes>(*std::move(content));
  size_bytes_ += entry->content->size();
  const auto result = entry->content;
  evict();
  return result;
}

void ContentCache::evict() {
  for (auto entry = recent_.end(); size_bytes_ > limit_bytes_ && entry != recent_.begin();) {
    --entry;
    if (!entry->content) continue;  // somebody loads it
    size_bytes_ -= entry->content->size();
    entries_.erase(entry->tag);
    entry = recent_.erase(entry);
  }
}

}  // namespace pgstrata
