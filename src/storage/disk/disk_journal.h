// A journal in a disk store: a file that is extended ahead with zeros that are really written, so that the
// usual sync finds neither its size nor its blocks changed and has only data to wait for.
//
// A sync fails, and the journal with it, when somebody has removed the file, moved it away or cut it short
// meanwhile: what is in it then is not where a reader would look.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "storage/disk/disk_root.h"
#include "storage/object_store.h"

namespace pgstrata {

class DiskJournal : public ObjectJournal {
 public:
  // The root is borrowed. The name must be fit.
  static Result<std::unique_ptr<DiskJournal>> create(DiskRoot& root, std::string_view name);

  Result<void> append(ByteView bytes) override;
  Result<void> sync() override;

  DiskJournal(DiskRoot& root, std::string_view name, FileDescriptor file, std::uint64_t extended_bytes)
      : root_(root), name_(name), file_(std::move(file)), extended_bytes_(extended_bytes) {}

 private:
  Result<void> write(ByteView bytes);
  Result<void> extend_and_sync();
  [[nodiscard]] Result<void> check_whole();
  [[nodiscard]] Result<bool> moved();
  std::unexpected<Error> give_up(Error error);

  DiskRoot& root_;
  const std::string name_;
  FileDescriptor file_;
  std::optional<Error> failure_;
  std::uint64_t size_bytes_ = 0;      // what was appended
  std::uint64_t extended_bytes_ = 0;  // where the zeros end
  // When it was last seen under its name.
  std::chrono::steady_clock::time_point found_at_ = std::chrono::steady_clock::now();
};

}  // namespace pgstrata
