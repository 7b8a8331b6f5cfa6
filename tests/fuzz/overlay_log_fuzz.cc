// The log of an overlay: as it comes, and as one frame that is whole.
#include "branch/overlay_log.h"
#include "codec/digest.h"
#include "codec/endian.h"

using namespace pgstrata;

// What can be read can be written, and says the same.
static void check(ByteView bytes) {
  const auto log = read_overlay_log(bytes);
  if (!log) return;
  PGS_ASSERT(log->whole_bytes <= bytes.size());
  ByteWriter again;
  again.bytes(bytes.first(8));
  if (!log->records.empty()) again.bytes(encode_overlay_frame(log->records));
  const auto second = read_overlay_log(again.view());
  PGS_ASSERT(second.has_value() && second->records.size() == log->records.size());
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check(bytes);
  ByteWriter log;
  log.u32(0x4F534750);
  log.u32(2);
  log.u32(static_cast<std::uint32_t>(size));
  log.u32(crc32c_finish(crc32c_extend(crc32c_begin, bytes)));
  log.bytes(bytes);
  check(log.view());
  return 0;
}
