// The memory of the WAL receiver: pieces of one MiB, a fixed number of them, used again and again.
//
// A piece is filled by the receiving thread, then shared by whoever still needs its bytes (the segment being
// sealed, the tail that may have to be written); it comes back when the last one lets go. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "catalog/wal_segment.h"

namespace pgstrata {

// Shared, since two threads read it and neither knows which is done first.
using WalPiece = std::shared_ptr<Buffer>;

class WalPieces {
 public:
  explicit WalPieces(std::size_t limit) : store_(std::make_shared<Store>(limit)) {}

  // An empty piece; null when all are in use.
  [[nodiscard]] WalPiece try_take() { return take(false); }
  // Waits until one comes back.
  [[nodiscard]] WalPiece take() { return take(true); }

 private:
  struct Store {
    explicit Store(std::size_t limit_) : limit(limit_) {}
    const std::size_t limit;
    std::mutex mutex;
    std::condition_variable returned;
    std::size_t in_use = 0;                      // guarded by mutex
    std::vector<std::unique_ptr<Buffer>> spare;  // guarded by mutex
  };

  WalPiece take(bool wait) {
    std::unique_lock lock(store_->mutex);
    const auto free = [this] { return store_->in_use < store_->limit; };
    if (!free() && !wait) return nullptr;
    store_->returned.wait(lock, free);
    ++store_->in_use;
    std::unique_ptr<Buffer> piece;
    if (store_->spare.empty()) {
      piece = std::make_unique<Buffer>(wal_piece_bytes);
    } else {
      piece = std::move(store_->spare.back());
      store_->spare.pop_back();
    }
    piece->resize(0);
    // Pieces may outlive this object, so they keep the store.
    return {piece.release(), [store = store_](Buffer* returned) { give_back(*store, returned); }};
  }

  static void give_back(Store& store, Buffer* piece) {
    {
      const std::lock_guard lock(store.mutex);
      store.spare.emplace_back(piece);
      --store.in_use;
    }
    store.returned.notify_one();
  }

  std::shared_ptr<Store> store_;
};

}  // namespace pgstrata
