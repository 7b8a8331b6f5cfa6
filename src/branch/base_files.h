// What lies under an overlay: files and folders that never change while it is mounted.
//
// Paths are relative to the mount, "/" between parts, without one at either end; "" is the root. A directory
// that is renamed in the overlay goes on being read here by the path it had. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "base/bytes.h"
#include "base/result.h"

namespace pgstrata {

// Content of one file. Thread-safe.
class BaseFile {
 public:
  virtual ~BaseFile() = default;
  // Fills `into` from `offset`. Errors: damaged (names the object, never wrong bytes), also where that is not
  // all within the file; those of the store.
  virtual Result<void> read(std::uint64_t offset, MutableByteView into) = 0;
};

struct BaseEntry {
  bool directory = false;
  mode_t mode = 0;  // permission bits
  std::uint64_t size_bytes = 0;
};

class BaseFiles {
 public:
  virtual ~BaseFiles() = default;
  // Nothing when there is no such path. Errors: damaged; those of the store; here and below.
  virtual Result<std::optional<BaseEntry>> find(std::string_view path) = 0;
  struct Named {
    std::string name;
    bool directory = false;
  };
  // Of a folder that is there; sorted.
  virtual Result<std::vector<Named>> list(std::string_view folder) = 0;
  // Of a regular file that is there. It borrows this object.
  virtual Result<std::unique_ptr<BaseFile>> open(std::string_view path) = 0;
};

}  // namespace pgstrata
