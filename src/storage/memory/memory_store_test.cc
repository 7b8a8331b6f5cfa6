#include "storage/memory/memory_store.h"

#include "storage/conformance.h"

namespace pgstrata {
namespace {

class MemoryHarness {
 public:
  ObjectStore& store() { return store_; }
  ObjectStore& other() { return store_; }

 private:
  MemoryStore store_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, ObjectStoreConformance, MemoryHarness);

}  // namespace
}  // namespace pgstrata
