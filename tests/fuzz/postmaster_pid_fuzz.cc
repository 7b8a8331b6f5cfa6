// The lock file of a postmaster, which may be half written.
#include "base/bytes.h"
#include "pg/server/postmaster_pid.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = parse_postmaster_pid(as_text(std::as_bytes(std::span(data, size))));
  PGS_ASSERT(!file || file->pid > 0);
  return 0;
}
