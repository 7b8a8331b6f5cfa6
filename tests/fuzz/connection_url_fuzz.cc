// What the user says where the source is: the normal form reads back equal, and no message shows a secret.
#include "base/bytes.h"
#include "pg/wire/connection_url.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto url = ConnectionUrl::parse(as_text(std::as_bytes(std::span(data, size))));
  if (!url) return 0;
  const auto again = ConnectionUrl::parse(url->text());
  PGS_ASSERT(again && *again == *url);
  PGS_ASSERT(!url->without_password().has_password());
  (void)url->describe();
  return 0;
}
