// Files to objects, as a backup writes its packs, and back, as a restore reads them; for bench/measure_s3.py.
//
//   pgs_bench_s3_transfer upload|download S3LOCATION FOLDER THREADS
#include <atomic>
#include <functional>
#include <iostream>
#include <thread>

#include <malloc.h>

#include "storage/s3/s3_store.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t piece_bytes = 128U << 10;  // a chunk, if it does not compress
constexpr std::size_t range_bytes = 4U << 20;    // repo/chunk_run.h

// Calls `work` with 0 to count - 1, by several threads. Returns an error of theirs.
Result<void> for_each(std::size_t count, std::size_t threads,
                      const std::function<Result<void>(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::vector<Result<void>> results(threads);
  {
    std::vector<std::jthread> running;
    for (auto& result : results) {
      running.emplace_back([&] {
        for (std::size_t i = next++; i < count && result; i = next++) result = work(i);
      });
    }
  }
  for (auto& result : results) PGS_CHECK(std::move(result));
  return {};
}

Result<void> upload(ObjectStore& store, const std::filesystem::path& path) {
  PGS_TRY(const auto file, open_file(path, O_RDONLY));
  PGS_TRY(const auto object, store.create(path.filename().native()));
  Buffer piece(piece_bytes);
  for (;;) {
    PGS_TRY(const std::size_t got, read_some(file, piece.whole()));
    if (got == 0) return object->commit();
    PGS_CHECK(object->write(piece.whole().first(got)));
  }
}

Result<void> download_all(ObjectStore& store, const std::filesystem::path& folder, std::size_t threads) {
  struct Range {
    const ObjectInfo& object;
    std::uint64_t offset;
  };
  PGS_TRY(const auto objects, store.list_all(""));
  std::vector<Range> ranges;
  for (const auto& object : objects) {
    for (std::uint64_t offset = 0; offset < object.size_bytes; offset += range_bytes)
      ranges.push_back({object, offset});
  }
  return for_each(ranges.size(), threads, [&](std::size_t i) -> Result<void> {
    const auto& [object, offset] = ranges[i];
    thread_local Buffer buffer(range_bytes);
    const auto into = buffer.whole().first(std::min<std::uint64_t>(range_bytes, object.size_bytes - offset));
    PGS_CHECK(store.read(object.name, offset, into));
    PGS_TRY(const auto file, open_file(folder / object.name, O_WRONLY | O_CREAT));
    return write_all_at(file, offset, into);
  });
}

Result<void> transfer(std::string_view verb, std::string_view place, const std::filesystem::path& folder,
                      std::size_t threads) {
  PGS_TRY(const S3Location location, parse_s3_location(place));
  if (verb == "upload") {
    PGS_TRY(const auto store, S3Store::open_or_make(location));
    const std::vector<std::filesystem::path> files(std::filesystem::directory_iterator(folder), {});
    return for_each(files.size(), threads, [&](std::size_t i) { return upload(*store, files[i]); });
  }
  PGS_TRY(const auto store, S3Store::open(location));
  return download_all(*store, folder, threads);
}

}  // namespace
}  // namespace pgstrata

int main(int count, char** words) {
  // As src/cli/main/main.cc.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 64 << 20);
  if (count != 5) return 2;
  const auto done = pgstrata::transfer(words[1], words[2], words[3], std::stoul(words[4]));
  if (!done) std::cerr << done.error().describe() << "\n";
  return done ? 0 : 1;
}
