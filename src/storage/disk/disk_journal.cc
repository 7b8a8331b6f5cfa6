#include "storage/disk/disk_journal.h"

#include <algorithm>

#include "sys/durable.h"

namespace pgstrata {
namespace {

constexpr std::uint64_t extension_bytes = 1U << 20;

Result<void> write_zeros(const FileDescriptor& file, std::uint64_t from, std::uint64_t to) {
  static const Bytes zeros(std::size_t{64} << 10);
  for (std::uint64_t at = from; at < to;) {
    const std::uint64_t piece = std::min<std::uint64_t>(zeros.size(), to - at);
    PGS_CHECK(write_all_at(file, at, ByteView(zeros).first(piece)));
    at += piece;
  }
  return {};
}

Result<FileDescriptor> make_file(DiskRoot& root, std::string_view name) {
  PGS_TRY(Temporary temporary, root.make_temporary());
  PGS_CHECK(write_zeros(temporary.file, 0, extension_bytes));
  PGS_CHECK(sync_file(temporary.file));
  PGS_CHECK(root.publish(temporary, name, DiskRoot::Taken::refuse));
  return std::move(temporary.file);
}

}  // namespace

Result<std::unique_ptr<DiskJournal>> DiskJournal::create(DiskRoot& root, std::string_view name) {
  Result<FileDescriptor> file = make_file(root, name);
  if (!file) return std::unexpected(root.explain(std::move(file).error(), name));
  return std::make_unique<DiskJournal>(root, name, *std::move(file), extension_bytes);
}

Result<void> DiskJournal::append(ByteView bytes) {
  if (failure_) return std::unexpected(*failure_);
  Result<void> written = write(bytes);
  if (!written) return give_up(std::move(written).error());
  return {};
}

Result<void> DiskJournal::write(ByteView bytes) {
  // A write beyond the zeros would bring back the size of a file that was cut short, with a hole in it.
  if (size_bytes_ + bytes.size() > extended_bytes_) PGS_CHECK(check_whole());
  PGS_CHECK(write_all_at(file_, size_bytes_, bytes));
  size_bytes_ += bytes.size();
  return {};
}

Result<void> DiskJournal::check_whole() {
  PGS_TRY(const FileExtent extent, stat_extent(file_));
  const std::uint64_t expected_bytes = std::max(size_bytes_, extended_bytes_);
  PGS_TRY(const bool elsewhere, moved());
  if (extent.links > 0 && extent.size_bytes >= expected_bytes && !elsewhere) return {};
  const std::string what =
      extent.links == 0 ? "was removed"
      : elsewhere       ? "was moved away"
                        : fmt::format("was cut from {} bytes to {}", expected_bytes, extent.size_bytes);
  return std::unexpected(
      make_error(ErrorCode::failed, "journal \"{}\" in {} {} while it was being written", name_,
                 root_.path().native(), what)
          .with_hint(
              "Find out whether the disk was mounted anew, or who did it: nobody but pgstrata may change "
              "what is in a repository."));
}

// Where a folder was moved the file is whole and nobody finds it. Asked once a second: it costs a walk.
Result<bool> DiskJournal::moved() {
  const auto now = std::chrono::steady_clock::now();
  if (now - found_at_ < std::chrono::seconds(1)) return false;
  PGS_TRY(const bool there, leads_to(root_.path_of(name_), file_));
  if (there) found_at_ = now;
  return !there;
}

// A sync that finds the zeros used up has a new size to write anyway: it takes the next zeros along.
Result<void> DiskJournal::extend_and_sync() {
  if (size_bytes_ > extended_bytes_) {
    PGS_CHECK(check_whole());
    const std::uint64_t extended = size_bytes_ + extension_bytes;
    PGS_CHECK(write_zeros(file_, size_bytes_, extended));
    extended_bytes_ = extended;
  }
  PGS_CHECK(sync_file_data(file_));
  return check_whole();
}

Result<void> DiskJournal::sync() {
  if (failure_) return std::unexpected(*failure_);
  Result<void> synced = extend_and_sync();
  if (!synced) return give_up(std::move(synced).error());
  return {};
}

// The kernel may have dropped what it could not write, and would report the next sync as a success.
std::unexpected<Error> DiskJournal::give_up(Error error) {
  failure_ = root_.explain(std::move(error), name_);
  return std::unexpected(*failure_);
}

}  // namespace pgstrata
