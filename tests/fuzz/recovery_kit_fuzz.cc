// The recovery kit, which a data directory carries.
#include "restore/recovery_kit.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)decode_recovery_kit(std::as_bytes(std::span(data, size)));
  return 0;
}
