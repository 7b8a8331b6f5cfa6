// Pieces of the repository's content, decrypted and authenticated: the ones last used stay in memory.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "codec/aead.h"

namespace pgstrata {

class ContentCache {
 public:
  using Content = std::shared_ptr<const Bytes>;  // shared: a reader holds it while it is evicted
  // What a miss calls, without a lock. One call for a piece at a time: whoever else wants it waits.
  using Load = std::function<Result<Bytes>()>;

  explicit ContentCache(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // For what a `load` returns: memory of a piece of that size that was given up lately, with its content, where
  // there is some. New memory costs more than decompressing into it: the kernel clears it, and then we do.
  [[nodiscard]] Bytes memory(std::size_t size_bytes);

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
  struct Spare {
    std::mutex mutex;  // guards what follows; taken last
    std::vector<Bytes> pieces;
    std::size_t size_bytes = 0;  // of each: the largest that was asked for
  };
  [[nodiscard]] Content shared(Bytes content) const;
  void evict();

  static constexpr std::size_t spare_pieces_max = 8;

  const std::size_t limit_bytes_;
  const std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();  // shared: content may outlive the cache
  mutable std::mutex mutex_;                                        // guards what follows
  std::condition_variable loaded_;
  Recent recent_;  // newest first
  std::unordered_map<ContentTag, Recent::iterator, TagHash> entries_;
  std::size_t size_bytes_ = 0;
};

}  // namespace pgstrata
