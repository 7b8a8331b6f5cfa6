#include "storage/disk/disk_writer.h"

#include "sys/durable.h"

namespace pgstrata {
namespace {

// Large enough for the disk to work well, small enough that little is left to wait for at commit.
constexpr std::uint64_t write_back_step_bytes = 4U << 20;

}  // namespace

Result<std::unique_ptr<DiskWriter>> DiskWriter::create(DiskRoot& root, std::string_view name) {
  Result<Temporary> temporary = root.make_temporary();
  if (!temporary) return std::unexpected(root.explain(std::move(temporary).error(), name));
  return std::make_unique<DiskWriter>(root, name, *std::move(temporary));
}

Result<void> DiskWriter::write(ByteView bytes) {
  if (failure_) return std::unexpected(*failure_);
  Result<void> written = write_through(bytes);
  if (!written) return give_up(std::move(written).error());
  return {};
}

Result<void> DiskWriter::write_through(ByteView bytes) {
  PGS_ASSERT(temporary_.has_value());  // not after commit
  PGS_CHECK(write_all(temporary_->file, bytes));
  size_bytes_ += bytes.size();
  const std::uint64_t waiting = size_bytes_ - writing_back_bytes_;
  if (waiting >= write_back_step_bytes) {
    start_writing_back(temporary_->file, writing_back_bytes_, waiting);
    writing_back_bytes_ = size_bytes_;
  }
  return {};
}

Result<void> DiskWriter::commit() {
  if (failure_) return std::unexpected(*failure_);
  Result<void> done = publish();
  if (!done) return give_up(std::move(done).error());
  temporary_.reset();
  return {};
}

Result<void> DiskWriter::publish() {
  PGS_ASSERT(temporary_.has_value());  // not twice
  PGS_CHECK(sync_file(temporary_->file));
  return root_.publish(*temporary_, name_, DiskRoot::Taken::refuse);
}

std::unexpected<Error> DiskWriter::give_up(Error error) {
  temporary_.reset();
  failure_ = root_.explain(std::move(error), name_);
  return std::unexpected(*failure_);
}

}  // namespace pgstrata
