#include "sys/durable.h"

#include <unistd.h>

#include "sys/retry.h"

namespace pgstrata {
namespace {

using std::filesystem::path;

Result<void> synced(int result, const FileDescriptor& file) {
  if (result == 0) return {};
  const int error_number = errno;
  return std::unexpected(
      error_from_errno(error_number, fmt::format("could not sync \"{}\"", file.describe())));
}

path folder_of(const path& name) {
  return name.has_parent_path() ? name.parent_path() : path(".");
}

}  // namespace

Result<void> sync_file(const FileDescriptor& file) {
  return synced(retry_interrupted([&] { return ::fsync(file.get()); }), file);
}

Result<void> sync_file_data(const FileDescriptor& file) {
  return synced(retry_interrupted([&] { return ::fdatasync(file.get()); }), file);
}

Result<void> sync_directory(const path& path) {
  PGS_TRY(const FileDescriptor directory, open_file(path, O_RDONLY | O_DIRECTORY));
  return sync_file(directory);
}

Result<void> sync_file_system(const FileDescriptor& file) {
  return synced(retry_interrupted([&] { return ::syncfs(file.get()); }), file);
}

void start_writing_back(const FileDescriptor& file, std::uint64_t offset, std::uint64_t size_bytes) {
  // Its result says nothing that the sync to come will not say.
  (void)::sync_file_range(file.get(), static_cast<off_t>(offset), static_cast<off_t>(size_bytes),
                          SYNC_FILE_RANGE_WRITE);
}

Result<void> check_written_back(const FileDescriptor& file) {
  const auto checked =
      retry_interrupted([&] { return ::sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE); });
  if (checked != 0 && errno == ENOSYS) return sync_file_data(file);
  return synced(checked, file);
}

// One that is there may have been made by somebody who died before it was durable.
Result<void> durable_make_directories(const path& given, mode_t mode) {
  const path path = without_last_separator(given);
  const auto parent = folder_of(path);
  PGS_TRY(const bool exists, file_exists(path));
  if (!exists && parent != path) PGS_CHECK(durable_make_directories(parent, mode));
  PGS_CHECK(make_directories(path, mode));  // says so when it is no folder
  const auto synced = sync_directory(parent);
  // A parent that we may not even read is not ours, and was there before.
  if (!synced && exists && synced.error().code() == ErrorCode::permission) return {};
  return synced;
}

Result<void> durable_remove(const path& path) {
  PGS_CHECK(remove_file(path));
  return sync_directory(folder_of(path));
}

}  // namespace pgstrata
