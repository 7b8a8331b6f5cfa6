// A folder that is removed, with everything in it, when dropped.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

class TemporaryDirectory {
 public:
  // A new folder `<parent>/<prefix>XXXXXX` with mode 0700.
  static Result<TemporaryDirectory> create(std::string_view prefix, const std::filesystem::path& parent);
  // In $TMPDIR, or /tmp where that is not set.
  static Result<TemporaryDirectory> create(std::string_view prefix);

  ~TemporaryDirectory();
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Leaves the folder where it is.
  void keep() { path_.clear(); }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  void remove();
  std::filesystem::path path_;
};

}  // namespace pgstrata
