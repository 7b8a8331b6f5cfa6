#include "codec/compression.h"

#include <random>

#include <gtest/gtest.h>

namespace pgstrata {
namespace {

Bytes sample(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 7);
  return bytes;
}

TEST(Compression, RoundTripsAtEverySizeAndLevel) {
  Compressor compressor(1);
  Decompressor decompressor;
  for (const int level : {-5, 1, 3, 9}) {
    compressor.set_level(level);
    for (const std::size_t size : {0, 1, 100, 8192, 131'072, 1'000'000}) {
      const Bytes content = sample(size, static_cast<unsigned>(size));
      Bytes frame(Compressor::bound(size));
      frame.resize(compressor.compress(content, frame));
      Bytes back(size);
      const auto done = decompressor.decompress(frame, back);
      ASSERT_TRUE(done) << done.error().describe();
      EXPECT_EQ(back, content);
    }
  }
}

TEST(Compression, RefusesAnotherSizeAndBrokenFrames) {
  const Bytes content = sample(1000, 3);
  const Bytes frame = compress(content, 1);
  EXPECT_LT(frame.size(), content.size());
  Decompressor decompressor;
  for (const std::size_t size : {0, 999, 1001}) {
    Bytes into(size);
    EXPECT_EQ(decompressor.decompress(frame, into).error().code(), ErrorCode::damaged) << size;
  }
  for (std::size_t size = 0; size < frame.size(); ++size) {
    Bytes into(content.size());
    EXPECT_FALSE(decompressor.decompress(ByteView(frame).first(size), into)) << size;
  }
  Bytes into(content.size());
  EXPECT_TRUE(decompressor.decompress(frame, into)) << "a failure leaves the context fit for use";
}

TEST(Compression, SmallThingsKnowTheirSize) {
  const Bytes content = sample(5000, 4);
  const Bytes frame = compress(content, 3);
  EXPECT_EQ(decompress(frame, 5000).value(), content);
  EXPECT_EQ(decompress(frame, 4999).error().code(), ErrorCode::damaged);
  EXPECT_EQ(decompress(to_bytes("not a frame"), 5000).error().code(), ErrorCode::damaged);
  EXPECT_EQ(decompress({}, 5000).error().code(), ErrorCode::damaged);
  EXPECT_TRUE(decompress(compress({}, 3), 0).value().empty());
}

}  // namespace
}  // namespace pgstrata
