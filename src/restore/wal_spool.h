// The spool beside a recovery kit: segments made ready, and how far recovery is. Shared by wal_fetch and its
// read-ahead; they meet through renames alone. Internal to the room.
#pragma once

#include <optional>

#include "restore/wal_fetch.h"

namespace pgstrata {

class WalSpool {
 public:
  // Reads the kit. Errors: not_found (it was removed), damaged, newer_format.
  static Result<WalSpool> open(const std::filesystem::path& kit_path);

  [[nodiscard]] const RecoveryKit& kit() const { return kit_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return folder_ / "spool" / name; }
  [[nodiscard]] std::string name_of(const KitSegment& segment) const;
  // Its place in the kit's list.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const;

  // Whether a file was ready; it is then at the destination.
  Result<bool> take(std::string_view name, const std::filesystem::path& destination) const;
  // Reads the segment from the repository into `destination`, which appears when it is whole. Not durable.
  Result<void> read_segment(ObjectStore& store, const KitSegment& segment,
                            const std::filesystem::path& destination) const;

  // The segment that recovery asked for last.
  Result<std::optional<std::size_t>> position() const;
  Result<void> set_position(std::size_t index) const;

 private:
  WalSpool(RecoveryKit kit, std::filesystem::path folder)
      : kit_(std::move(kit)), folder_(std::move(folder)) {}

  RecoveryKit kit_;
  std::filesystem::path folder_;
};

// Keeps the segments after the position ready until recovery is past the list, asks for nothing for the idle
// limit, or the kit is gone. Returns at once when another process does so already.
Result<void> run_read_ahead(const std::filesystem::path& kit_path, const OpenStore& open_store,
                            const WalFetchOptions& options);

}  // namespace pgstrata
