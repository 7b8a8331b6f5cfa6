#include "sys/file_descriptor.h"

#include <array>

#include <fmt/format.h>
#include <unistd.h>

namespace pgstrata {

void FileDescriptor::close() {
  // Linux frees the descriptor even when close is interrupted: calling it again could close another one.
  if (number_ >= 0) ::close(release());
}

std::string FileDescriptor::describe() const {
  const std::string link = fmt::format("/proc/self/fd/{}", number_);
  std::array<char, 4096> target;
  const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
  if (size <= 0) return fmt::format("descriptor {}", number_);
  return std::string(target.data(), static_cast<std::size_t>(size));
}

}  // namespace pgstrata
