#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace pgstrata {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "pgstrata: broken invariant: %s (%s:%d); please report this\n", condition, file, line);
  std::abort();
}

}  // namespace pgstrata
