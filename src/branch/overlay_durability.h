// Whether an overlay has to survive a loss of power, and what its syncs do where it has not. Internal to the
// room.
#pragma once

#include "sys/durable.h"

namespace pgstrata {

enum class Durability : std::uint8_t {
  kept,
  disposable,  // as long as the machine runs, then it is thrown away: a sync tells what the disk refused, no more
};

[[nodiscard]] inline Result<void> sync_content(const FileDescriptor& file, Durability durability) {
  return durability == Durability::kept ? sync_file_data(file) : check_written_back(file);
}

[[nodiscard]] inline Result<void> sync_folder(const std::filesystem::path& folder, Durability durability) {
  return durability == Durability::kept ? sync_directory(folder) : Result<void>();
}

}  // namespace pgstrata
