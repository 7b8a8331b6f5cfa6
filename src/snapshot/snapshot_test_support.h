// A cluster's space in memory, for tests of the rooms that store files.
#pragma once

#include <memory>
#include <random>

#include <gtest/gtest.h>

#include "repo/repository.h"
#include "storage/memory/memory_store.h"

namespace pgstrata::testing {

struct MemorySpace {
  Repository repository =
      Repository::create(std::make_unique<MemoryStore>(), NoEncryption{}, system_clock()).value();
  ClusterSpace space = repository.create_cluster("app").value();
};

// Bytes that do not compress, the same for the same seed.
inline Bytes noise(std::size_t size_bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size_bytes);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace pgstrata::testing
