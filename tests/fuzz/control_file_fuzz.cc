// pg_control. The checksum is put right first, for the fields behind it to be reached.
#include <cstring>

#include "codec/digest.h"
#include "pg/format/control_file.h"

using namespace pgstrata;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes = to_bytes(std::as_bytes(std::span(data, size)));
  (void)parse_control_file(bytes);
  for (const std::size_t crc_at : {288U, 292U}) {
    if (bytes.size() < crc_at + 4) continue;
    const std::uint32_t crc = crc32c_finish(crc32c_extend(crc32c_begin, ByteView(bytes).first(crc_at)));
    std::memcpy(bytes.data() + crc_at, &crc, sizeof crc);
    if (const auto control = parse_control_file(bytes)) {
      (void)to_string(control->state);
      (void)to_string(control->wal_level);
      (void)control->major_version();
    }
  }
  return 0;
}
