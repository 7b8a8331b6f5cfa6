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

Bytes ContentCache::memory(std::size_t size_bytes) {
  {
    const std::lock_guard lock(spare_->mutex);
    if (size_bytes > spare_->size_bytes) {
      spare_->size_bytes = size_bytes;
      spare_->pieces.clear();
    }
    if (!spare_->pieces.empty() && size_bytes == spare_->size_bytes) {
      auto piece = std::move(spare_->pieces.back());
      spare_->pieces.pop_back();
      return piece;
    }
  }
  return Bytes(size_bytes);
}

// Whoever uses it last gives its memory back.
ContentCache::Content ContentCache::shared(Bytes content) const {
  const auto give_back = [spare = spare_](Bytes* bytes) {
    const std::unique_ptr<Bytes> last(bytes);
    const std::lock_guard lock(spare->mutex);
    if (last->size() == spare->size_bytes && spare->pieces.size() < spare_pieces_max)
      spare->pieces.push_back(std::move(*last));
  };
  return std::shared_ptr<Bytes>(new Bytes(std::move(content)), give_back);
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
  entry->content = shared(*std::move(content));
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
