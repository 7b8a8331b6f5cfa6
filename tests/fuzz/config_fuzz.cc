// The settings file.
#include "base/bytes.h"
#include "cli/config_file.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)parse_config(as_text(std::as_bytes(std::span(data, size))), "fuzz.toml");
  return 0;
}
