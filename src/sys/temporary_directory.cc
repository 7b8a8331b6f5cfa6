#include "sys/temporary_directory.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/log.h"
#include "sys/files.h"

namespace pgstrata {

Result<TemporaryDirectory> TemporaryDirectory::create(std::string_view prefix,
                                                      const std::filesystem::path& parent) {
  std::string name = (parent / (std::string(prefix) + "XXXXXX")).native();
  if (::mkdtemp(name.data()) == nullptr) {
    const int error_number = errno;
    return std::unexpected(
        error_from_errno(error_number, fmt::format("could not create directory \"{}\"", name)));
  }
  return TemporaryDirectory(std::move(name));
}

Result<TemporaryDirectory> TemporaryDirectory::create(std::string_view prefix) {
  const char* const chosen = std::getenv("TMPDIR");
  return create(prefix, chosen != nullptr && *chosen != '\0' ? chosen : "/tmp");
}

TemporaryDirectory::~TemporaryDirectory() {
  remove();
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

void TemporaryDirectory::remove() {
  if (path_.empty()) return;
  const Result<void> removed = remove_tree(path_);
  if (!removed) log_warning("temporary directory stays behind: {}", removed.error().describe());
  path_.clear();
}

}  // namespace pgstrata
