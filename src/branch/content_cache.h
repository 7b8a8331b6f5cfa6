// Pieces of the repository's content, decrypted and authenticated: the ones last used stay in memory.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "codec/aead.h"

namespace pgstrata {

class ContentCache {
 public:
  using Content = std::shared_ptr<const Bytes>;  // shared: a reader holds it while it is evicted
  // What a miss calls, without a lock. One call for a piece at a time: whoever else wants it waits.
  using Load = std::function<Result<Bytes>()>;

  explicit ContentCache(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // By a key that no other content has, as its tag. Errors: those of `load`.
  Result<Content> get(const ContentTag& tag, const Load& load);
  [[nodiscard]] bool has(const ContentTag& tag) const;

 private:
  struct Entry {
    ContentTag tag{};
    Content content;  // empty while it is loaded
  };
  struct TagHash {
    std::size_t operator()(const ContentTag& tag) const noexcept;
  };
  using Recent = std::list<Entry>;
  void evict();

  const std::size_t limit_bytes_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable loaded_;
  Recent recent_;  // newest first
  std::unordered_map<ContentTag, Recent::iterator, TagHash> entries_;
  std::size_t size_bytes_ = 0;
};

}  // namespace pgstrata
