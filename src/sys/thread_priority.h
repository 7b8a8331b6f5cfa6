// The share of the processors that a thread asks for.
#pragma once

namespace pgstrata {

// The calling thread steps back behind others, of any process, that want to run; alone it runs as fast as
// ever. For work that nobody waits for. A system that refuses leaves it as it is.
void step_back() noexcept;

}  // namespace pgstrata
