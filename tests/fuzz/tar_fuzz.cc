// Tar archives: whole and byte by byte must say the same. Header checksums are put right in a copy first, for
// changed headers to be read at all.
#include <cstdio>
#include <string>

#include "base/assert.h"
#include "pg/format/tar.h"

using namespace pgstrata;

namespace {

class Recorder final : public TarHandler {
 public:
  Result<void> begin_member(const TarMember& member) override {
    PGS_ASSERT(open_ == false);
    open_ = true;
    left_ = member.size_bytes;
    story += "[" + std::string(member.name) + ">" + std::string(member.link_target) + ":";
    return {};
  }
  Result<void> content(ByteView bytes) override {
    PGS_ASSERT(open_ && !bytes.empty() && bytes.size() <= left_);
    left_ -= bytes.size();
    story += as_text(bytes);
    return {};
  }
  Result<void> end_member() override {
    PGS_ASSERT(open_ && left_ == 0);
    open_ = false;
    story += "]";
    return {};
  }
  std::string story;

 private:
  bool open_ = false;
  std::uint64_t left_ = 0;
};

std::string read(ByteView bytes, std::size_t piece) {
  Recorder recorder;
  TarParser parser(recorder);
  Result<void> fed;
  while (fed && !bytes.empty()) {
    const auto count = std::min(piece, bytes.size());
    fed = parser.feed(bytes.first(count));
    bytes = bytes.subspan(count);
  }
  if (fed) fed = parser.finish();
  return recorder.story + (fed ? "" : fed.error().describe());
}

// Every block that looks like a header gets its sum.
void seal_headers(Bytes& bytes) {
  for (std::size_t at = 0; at + 512 <= bytes.size(); at += 512) {
    if (as_text(ByteView(bytes).subspan(at + 257, 5)) != "ustar") continue;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at + 148), 8, std::byte{' '});
    unsigned sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += std::to_integer<unsigned>(bytes[at + i]);
    char text[8];
    std::snprintf(text, sizeof text, "%07o", sum);
    std::copy_n(reinterpret_cast<const std::byte*>(text), 8,
                bytes.begin() + static_cast<std::ptrdiff_t>(at + 148));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes = to_bytes(std::as_bytes(std::span(data, size)));
  seal_headers(bytes);
  const auto whole = read(bytes, SIZE_MAX);
  PGS_ASSERT(read(bytes, 1) == whole);
  PGS_ASSERT(read(bytes, 700) == whole);
  return 0;
}
