#include "branch/shared_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/retry.h"

namespace pgstrata {

namespace {

constexpr std::uint64_t cache_magic = 0x3143'4854'5250'4750;  // changes with the layout
constexpr std::size_t ways = 8;
constexpr std::size_t content_alignment = 4096;

}  // namespace

struct SharedCache::Header {
  std::uint64_t magic;
  std::uint64_t pieces;
  std::atomic<std::uint64_t> clock;  // counts uses
};

struct SharedCache::Slot {
  std::atomic<std::uint64_t> sequence;  // odd: it is being written
  std::atomic<std::uint64_t> used;      // the clock when it was last
  std::atomic<std::uint64_t> tag_low;
  std::atomic<std::uint64_t> tag_high;
  std::atomic<std::uint64_t> size_bytes;
};

namespace {

struct Key {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

Key key_of(const ContentTag& tag) {
  Key key;
  static_assert(sizeof key == sizeof tag);
  std::memcpy(&key, tag.data(), sizeof key);
  return key;
}

std::size_t content_offset(std::size_t pieces, std::size_t header_bytes, std::size_t slot_bytes) {
  const auto end = header_bytes + pieces * slot_bytes;
  return (end + content_alignment - 1) / content_alignment * content_alignment;
}

Result<void> allocate(const FileDescriptor& file, std::uint64_t offset, std::uint64_t size_bytes) {
  const auto done = retry_interrupted(
      [&] { return ::fallocate(file.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(size_bytes)); });
  if (done == 0) return {};
  return std::unexpected(error_from_errno(errno, "allocate the cache"));
}

// As long as it is used.
Result<void> lock_for_use(const FileDescriptor& file) {
  if (retry_interrupted([&] { return ::flock(file.get(), LOCK_SH); }) == 0) return {};
  return std::unexpected(error_from_errno(errno, "lock the cache"));
}

// For the moment in which it is made: nobody sees half a header. Ends with the descriptor, or by F_UNLCK.
Result<void> lock_for_making(const FileDescriptor& file, short how) {
  struct flock region {};
  region.l_type = how;
  region.l_len = 1;
  if (retry_interrupted([&] { return ::fcntl(file.get(), F_OFD_SETLKW, &region); }) == 0) return {};
  return std::unexpected(error_from_errno(errno, "lock the cache"));
}

}  // namespace

SharedCache::SharedCache(std::filesystem::path path, FileDescriptor file, std::byte* memory,
                         std::size_t size_bytes)
    : path_(std::move(path)),
      file_(std::move(file)),
      memory_(memory),
      size_bytes_(size_bytes),
      header_(reinterpret_cast<Header*>(memory)),
      slots_(reinterpret_cast<Slot*>(memory + sizeof(Header)), static_cast<std::size_t>(header_->pieces)) {}

SharedCache::~SharedCache() {
  ::munmap(memory_, size_bytes_);
  // The last one takes the file away: whoever opens it meanwhile finds it gone and makes another.
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(path_.c_str());
}

Result<std::unique_ptr<SharedCache>> SharedCache::open(const std::filesystem::path& path,
                                                       std::size_t pieces) {
  pieces = std::max(pieces / ways, std::size_t{1}) * ways;
  while (true) {
    PGS_TRY(auto file, open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600));
    // Before any lock: somebody else would hold his for ever.
    PGS_TRY(auto info, stat_file(file));
    if (info.owner != ::geteuid() || info.kind != FileType::regular)
      return fail(ErrorCode::permission, "\"{}\" belongs to somebody else", path.native());
    PGS_CHECK(lock_for_use(file));
    PGS_CHECK(lock_for_making(file, F_WRLCK));
    PGS_TRY(info, stat_file(file));
    if (info.links == 0) continue;  // its last user has just taken it away
    std::size_t size = info.size_bytes;
    if (size == 0) {
      size = content_offset(pieces, sizeof(Header), sizeof(Slot)) + pieces * piece_bytes_max;
      PGS_CHECK(resize_file(file, size));
      PGS_CHECK(allocate(file, 0, content_offset(pieces, sizeof(Header), sizeof(Slot))));
    }
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) return std::unexpected(error_from_errno(errno, "map the cache"));
    auto* header = static_cast<Header*>(memory);
    if (info.size_bytes == 0) {
      header->pieces = pieces;
      header->clock = 1;
      header->magic = cache_magic;
    }
    const auto whole = header->magic == cache_magic && header->pieces > 0 && header->pieces % ways == 0 &&
                       size == content_offset(header->pieces, sizeof(Header), sizeof(Slot)) +
                                   header->pieces * piece_bytes_max;
    if (!whole) {
      ::munmap(memory, size);
      return fail(ErrorCode::failed, "\"{}\" is no cache of this version", path.native());
    }
    PGS_CHECK(lock_for_making(file, F_UNLCK));
    return std::unique_ptr<SharedCache>(
        new SharedCache(path, std::move(file), static_cast<std::byte*>(memory), size));
  }
}

std::span<SharedCache::Slot> SharedCache::set_of(const ContentTag& tag) const {
  const auto sets = slots_.size() / ways;
  return slots_.subspan(key_of(tag).low % sets * ways, ways);
}

std::byte* SharedCache::content_of(const Slot& slot) const {
  const auto index = static_cast<std::size_t>(&slot - slots_.data());
  return memory_ + content_offset(slots_.size(), sizeof(Header), sizeof(Slot)) + index * piece_bytes_max;
}

bool SharedCache::has(const ContentTag& tag) const {
  const auto key = key_of(tag);
  return std::ranges::any_of(set_of(tag), [&](const Slot& slot) {
    return slot.sequence.load(std::memory_order_acquire) % 2 == 0 && slot.size_bytes != 0 &&
           slot.tag_low == key.low && slot.tag_high == key.high;
  });
}

bool SharedCache::read(const ContentTag& tag, std::size_t offset, MutableByteView into) {
  const auto key = key_of(tag);
  for (auto& slot : set_of(tag)) {
    const auto sequence = slot.sequence.load(std::memory_order_acquire);
    if (sequence % 2 != 0 || slot.tag_low.load(std::memory_order_relaxed) != key.low ||
        slot.tag_high.load(std::memory_order_relaxed) != key.high) {
      continue;
    }
    const auto size = slot.size_bytes.load(std::memory_order_relaxed);
    if (size > piece_bytes_max || offset + into.size() > size) continue;
    std::memcpy(into.data(), content_of(slot) + offset, into.size());
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.sequence.load(std::memory_order_relaxed) != sequence) continue;  // it was written meanwhile
    slot.used.store(header_->clock.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
    return true;
  }
  return false;
}

void SharedCache::put(const ContentTag& tag, ByteView content) {
  PGS_ASSERT(content.size() <= piece_bytes_max);
  if (content.empty() || has(tag)) return;
  const auto set = set_of(tag);
  auto* slot = &*std::ranges::min_element(
      set, {}, [](const Slot& one) { return one.used.load(std::memory_order_relaxed); });
  // Memory that is not there would end the process when it is touched.
  const bool first_use = slot->size_bytes.load(std::memory_order_relaxed) == 0;
  if (first_use && !allocate(file_, static_cast<std::uint64_t>(content_of(*slot) - memory_), piece_bytes_max))
    return;
  auto sequence = slot->sequence.load(std::memory_order_relaxed);
  // Somebody else writes it: then this piece is not kept, this time.
  if (sequence % 2 != 0 || !slot->sequence.compare_exchange_strong(sequence, sequence + 1)) {
    slot->used.store(header_->clock.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return;
  }
  std::atomic_thread_fence(std::memory_order_release);
  const auto key = key_of(tag);
  slot->tag_low.store(key.low, std::memory_order_relaxed);
  slot->tag_high.store(key.high, std::memory_order_relaxed);
  slot->size_bytes.store(content.size(), std::memory_order_relaxed);
  std::memcpy(content_of(*slot), content.data(), content.size());
  slot->used.store(header_->clock.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
  slot->sequence.store(sequence + 2, std::memory_order_release);
}

}  // namespace pgstrata
