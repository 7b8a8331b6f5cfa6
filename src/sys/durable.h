// The operations whose effect survives a loss of power, all of them here.
//
// A file is durable when its content was synced and the folder that names it was synced after that. After a
// sync has failed, what the kernel holds of the file cannot be trusted: write it again from the start.
// Errors as in files.h. Thread-safe.
#pragma once

#include "sys/files.h"

namespace pgstrata {

// Content and all attributes.
[[nodiscard]] Result<void> sync_file(const FileDescriptor& file);
// Content, and of the attributes what is needed to read it back (the size).
[[nodiscard]] Result<void> sync_file_data(const FileDescriptor& file);
// The names in a folder: what was created in it, renamed into it or removed from it.
[[nodiscard]] Result<void> sync_directory(const std::filesystem::path& path);
// Everything written so far to the file system that holds `file`, names included. Open `file` before writing:
// failures since then are told.
[[nodiscard]] Result<void> sync_file_system(const FileDescriptor& file);
// Starts writing a range to the disk without waiting: makes a later sync short. Makes nothing durable.
void start_writing_back(const FileDescriptor& file, std::uint64_t offset, std::uint64_t size_bytes);

// For what need not survive: tells what the disk has refused of the content since `file` was opened and
// nobody was told yet. Makes nothing durable, and waits for no more than what is being written just now.
[[nodiscard]] Result<void> check_written_back(const FileDescriptor& file);

// With all missing parents. One that exists is no error.
[[nodiscard]] Result<void> durable_make_directories(const std::filesystem::path& path, mode_t mode = 0700);
[[nodiscard]] Result<void> durable_remove(const std::filesystem::path& path);

}  // namespace pgstrata
