// Whether this build is a sanitizer's. Only tests include this: a run is some ten times as long then, and less of the
// same is enough.
#pragma once

namespace pgstrata {

#ifdef PGSTRATA_SANITIZED
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace pgstrata
