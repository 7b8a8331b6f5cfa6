// backup_manifest: as it is, and as a body that gets the checksum it needs.
#include <string>

#include "base/assert.h"
#include "codec/digest.h"
#include "pg/format/backup_manifest.h"

using namespace pgstrata;

namespace {
class Counter final : public ManifestHandler {
 public:
  Result<void> file(const ManifestFile& file) override {
    PGS_ASSERT(!file.path.empty());
    ++files;
    return {};
  }
  std::uint64_t files = 0;
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = as_text(std::as_bytes(std::span(data, size)));
  Counter counter;
  (void)parse_backup_manifest(text, counter);
  std::string sealed(text);
  sealed += '\n';
  sealed += "\"Manifest-Checksum\": \"" + to_hex(sha256(as_byte_view(sealed))) + "\"}\n";
  counter.files = 0;
  const auto manifest = parse_backup_manifest(sealed, counter);
  if (manifest) PGS_ASSERT(manifest->files == counter.files);
  return 0;
}
