// Reading many small objects: one after the other, or several at once where each is a request to a store that is far away.
// Internal to this room.
#pragma once

#include <algorithm>
#include <future>
#include <span>
#include <vector>

#include "repo/repository.h"

namespace pgstrata {

// What `read` returned for each item, in order; reading goes on after one that failed. `read` is called from several threads.
template <class Item, class Read>
auto read_each(const ClusterSpace& space, const std::vector<Item>& items, const Read& read) {
  constexpr std::size_t at_once = 8;
  const std::size_t width = space.store().capabilities().far ? at_once : 1;
  const auto policy = width > 1 ? std::launch::async : std::launch::deferred;
  std::vector<decltype(read(items.front()))> results;
  results.reserve(items.size());
  for (std::size_t first = 0; first < items.size(); first += width) {
    std::vector<std::future<decltype(read(items.front()))>> reads;
    for (const Item& item : std::span(items).subspan(first, std::min(width, items.size() - first)))
      reads.push_back(std::async(policy, [&read, &item] { return read(item); }));
    for (auto& one : reads) results.push_back(one.get());
  }
  return results;
}

}  // namespace pgstrata
