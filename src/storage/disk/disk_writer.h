// An object being written to a disk store: a temporary file until commit.
#pragma once

#include <optional>
#include <string>

#include "storage/disk/disk_root.h"
#include "storage/object_store.h"

namespace pgstrata {

class DiskWriter : public ObjectWriter {
 public:
  // The root is borrowed. The name must be fit.
  static Result<std::unique_ptr<DiskWriter>> create(DiskRoot& root, std::string_view name);

  Result<void> write(ByteView bytes) override;
  Result<void> commit() override;

  DiskWriter(DiskRoot& root, std::string_view name, Temporary temporary)
      : root_(root), name_(name), temporary_(std::move(temporary)) {}

 private:
  Result<void> write_through(ByteView bytes);
  Result<void> publish();
  // Ends the writer: removes the temporary and remembers why.
  std::unexpected<Error> give_up(Error error);

  DiskRoot& root_;
  const std::string name_;
  std::optional<Temporary> temporary_;  // none after commit or a failure
  std::optional<Error> failure_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t writing_back_bytes_ = 0;  // the part whose write-back was started
};

}  // namespace pgstrata
