// Chance, for waits that should not be in step with those of others.
#pragma once

#include "capture/wal_backoff.h"

namespace pgstrata {

// Seeded by the operating system. Belongs to one thread.
[[nodiscard]] RandomFraction random_fraction();

}  // namespace pgstrata
