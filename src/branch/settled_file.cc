#include "branch/settled_file.h"

#include <algorithm>
#include <array>

#include "codec/compression.h"
#include "codec/digest.h"
#include "codec/endian.h"
#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::uint32_t magic = 0x53534750;  // "PGSS"
constexpr std::uint32_t version = 1;
constexpr std::size_t header_bytes = 8;
constexpr std::size_t footer_bytes = 16;
constexpr std::uint64_t number_max =
    (std::uint64_t{1} << 44) / extent_bytes;  // PostgreSQL's files have 1 GiB
// What does not compress becomes a little longer.
const std::size_t stored_size_max = Compressor::bound(max_extent_difference_bytes);
constexpr std::size_t index_bytes_max = 64U << 20;

std::uint32_t crc32c(ByteView bytes) {
  return crc32c_finish(crc32c_extend(crc32c_begin, bytes));
}

std::unexpected<Error> damaged(const std::filesystem::path& path, std::string_view what) {
  return std::unexpected(
      make_error(ErrorCode::damaged, "\"{}\" {}", path.native(), what)
          .with_hint(
              "It holds what was written in the branch: `pgstrata branch reset` takes the branch back to its "
              "moment."));
}

std::filesystem::path unfinished_path(std::filesystem::path path) {
  path += ".new";
  return path;
}

}  // namespace

Bytes encode_settled_index(const SettledIndex& index) {
  ByteWriter out;
  out.varint(index.serial);
  out.varint(index.extents.size());
  std::uint64_t next = 0;
  for (const auto& extent : index.extents) {
    out.varint(extent.number - next);
    out.u16(extent.pages);
    out.varint(extent.offset);
    out.varint(extent.stored_size);
    out.u32(extent.crc32c);
    next = extent.number + 1;
  }
  return out.take();
}

Result<SettledIndex> parse_settled_index(ByteView bytes) {
  ByteReader in(bytes);
  SettledIndex index;
  index.serial = in.varint();
  const auto count = in.varint();
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    SettledExtent extent;
    extent.number = next + in.varint();
    extent.pages = in.u16();
    extent.offset = in.varint();
    const auto stored_size = in.varint();
    extent.stored_size = static_cast<std::uint32_t>(stored_size);
    extent.crc32c = in.u32();
    if (extent.number < next || extent.number > number_max || extent.pages == 0 ||
        stored_size > stored_size_max)
      break;
    next = extent.number + 1;
    index.extents.push_back(extent);
  }
  if (!in.finished() || index.extents.size() != count)
    return fail(ErrorCode::damaged, "an index of settled extents makes no sense");
  return index;
}

// --- reading ---

Result<std::shared_ptr<const SettledFile>> SettledFile::open(const std::filesystem::path& path) {
  PGS_TRY(auto file, open_file(path, O_RDONLY));
  PGS_TRY(const auto info, stat_extent(file));
  if (info.size_bytes < header_bytes + footer_bytes) return damaged(path, "is too short");
  std::array<std::byte, header_bytes> header{};
  PGS_CHECK(read_exactly(file, 0, header));
  ByteReader in(header);
  if (in.u32() != magic) return damaged(path, "holds no settled extents");
  if (const auto found = in.u32(); found > version)
    return fail(ErrorCode::newer_format, "\"{}\" is of version {}", path.native(), found);
  std::array<std::byte, footer_bytes> footer{};
  PGS_CHECK(read_exactly(file, info.size_bytes - footer_bytes, footer));
  ByteReader end(footer);
  const auto at = end.u64();
  const auto size = end.u32();
  const auto crc = end.u32();
  if (size > index_bytes_max || at > info.size_bytes || at + size + footer_bytes != info.size_bytes)
    return damaged(path, "has lost its index");
  Bytes bytes(size);
  PGS_CHECK(read_exactly(file, at, bytes));
  if (crc32c(bytes) != crc) return damaged(path, "has a damaged index");
  auto index = parse_settled_index(bytes);
  if (!index) return damaged(path, "has an index that makes no sense");
  for (const auto& extent : index->extents) {
    if (extent.offset < header_bytes || extent.offset > at || extent.stored_size > at - extent.offset)
      return damaged(path, "has an index that leads out of it");
  }
  return std::shared_ptr<const SettledFile>(new SettledFile(path, std::move(file), *std::move(index)));
}

void SettledFile::for_each_page(const std::function<void(std::uint64_t page)>& call) const {
  for (const auto& extent : index_.extents) {
    for (std::uint32_t page = 0; page < pages_per_extent; ++page)
      if (holds_page(extent.pages, page)) call(extent.number * pages_per_extent + page);
  }
}

const SettledExtent* SettledFile::find(std::uint64_t number) const {
  const auto found = std::ranges::lower_bound(index_.extents, number, {}, &SettledExtent::number);
  return found == index_.extents.end() || found->number != number ? nullptr : &*found;
}

Result<Bytes> SettledFile::stored(const SettledExtent& extent) const {
  Bytes bytes(extent.stored_size);
  PGS_CHECK(read_exactly(file_, extent.offset, bytes));
  return bytes;
}

std::uint64_t SettledFile::stored_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& extent : index_.extents) bytes += extent.stored_size;
  return bytes;
}

Result<void> SettledFile::apply(const SettledExtent& extent, MutableByteView content) const {
  const auto wrong = [&] { return damaged(path_, fmt::format("is damaged at byte {}", extent.offset)); };
  if (extent.stored_size != 0) {
    PGS_TRY(const auto bytes, stored(extent));
    const auto difference = decompress(bytes, max_extent_difference_bytes);
    if (!difference || !apply_extent_difference(*difference, content)) return wrong();
  }
  if (crc32c(content) != extent.crc32c) return wrong();
  return {};
}

// --- writing ---

SettledFileWriter::SettledFileWriter(std::filesystem::path path, FileDescriptor file, std::uint64_t serial)
    : path_(std::move(path)), file_(std::move(file)), size_bytes_(header_bytes) {
  index_.serial = serial;
}

SettledFileWriter::SettledFileWriter(SettledFileWriter&& other) noexcept = default;

SettledFileWriter::~SettledFileWriter() {
  if (file_) static_cast<void>(remove_file(unfinished_path(path_)));
}

Result<SettledFileWriter> SettledFileWriter::create(const std::filesystem::path& path, std::uint64_t serial) {
  PGS_TRY(auto file, open_file(unfinished_path(path), O_RDWR | O_CREAT | O_TRUNC));
  SettledFileWriter writer(path, std::move(file), serial);
  ByteWriter header;
  header.u32(magic);
  header.u32(version);
  PGS_CHECK(write_all(writer.file_, header.view()));
  return writer;
}

Result<void> SettledFileWriter::add(SettledExtent extent, ByteView stored) {
  PGS_ASSERT(index_.extents.empty() || index_.extents.back().number < extent.number);
  PGS_ASSERT(extent.stored_size == stored.size() && stored.size() <= stored_size_max);
  PGS_CHECK(write_all(file_, stored));
  extent.offset = size_bytes_;
  index_.extents.push_back(extent);
  size_bytes_ += stored.size();
  return {};
}

Result<std::shared_ptr<const SettledFile>> SettledFileWriter::commit() {
  ByteWriter end;
  end.bytes(encode_settled_index(index_));
  const auto size = static_cast<std::uint32_t>(end.size());
  const auto crc = crc32c(end.view());
  end.u64(size_bytes_);
  end.u32(size);
  end.u32(crc);
  PGS_CHECK(write_all(file_, end.view()));
  PGS_CHECK(sync_file_data(file_));
  PGS_CHECK(rename_file(unfinished_path(path_), path_));
  auto file = std::shared_ptr<const SettledFile>(
      new SettledFile(path_, std::exchange(file_, FileDescriptor()), std::move(index_)));
  PGS_CHECK(sync_directory(path_.parent_path()));
  return file;
}

}  // namespace pgstrata
