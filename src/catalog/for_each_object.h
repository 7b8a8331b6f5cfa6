// Doing the same to many objects: one after the other, or several at once where each is a request to a store that is far away.
#pragma once

#include <algorithm>
#include <future>
#include <span>
#include <vector>

#include "repo/repository.h"

namespace pgstrata {

// What `use` returned for each item, in order; it goes on after one that failed. `use` is called from several threads where the
// store is far.
template <class Item, class Use>
auto for_each_object(const ClusterSpace& space, const std::vector<Item>& items, const Use& use) {
  constexpr std::size_t at_once = 8;
  const std::size_t width = space.store().capabilities().far ? at_once : 1;
  const auto policy = width > 1 ? std::launch::async : std::launch::deferred;
  std::vector<decltype(use(items.front()))> results;
  results.reserve(items.size());
  for (std::size_t first = 0; first < items.size(); first += width) {
    std::vector<std::future<decltype(use(items.front()))>> calls;
    for (const Item& item : std::span(items).subspan(first, std::min(width, items.size() - first)))
      calls.push_back(std::async(policy, [&use, &item] { return use(item); }));
    for (auto& one : calls) results.push_back(one.get());
  }
  return results;
}

}  // namespace pgstrata
