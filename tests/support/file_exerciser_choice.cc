// What FileExerciser's operations are tried on.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/stat.h>

#include "support/file_exerciser.h"
#include "support/file_tree.h"
#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr std::uint64_t largest_file = 6 << 20;
constexpr std::uint64_t page = 8192;
constexpr std::uint64_t block = 4096;
constexpr std::uint64_t extent = 128 << 10;
constexpr std::ptrdiff_t deepest_new_folder = 3;

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

// Anywhere in the file, with a liking for its end, for what lies beyond, and for the borders of extents.
std::uint64_t FileExerciser::any_size(std::uint64_t file_size) {
  const std::array wanted = {below(file_size + 1),
                             below(file_size + 1),
                             file_size - std::min(file_size, below(3 * page)),
                             file_size,
                             file_size + below(3 * page),
                             file_size + below(3 * extent),
                             below(file_size / extent + 2) * extent + below(3) * block};
  const std::uint64_t size = std::min(wanted[below(wanted.size())], largest_file);
  const std::array<std::uint64_t, 5> units = {page, page, block, block, 1};
  const std::uint64_t unit = units[below(units.size())];
  return size / unit * unit;
}

FileExerciser::Range FileExerciser::any_range(std::uint64_t file_size) {
  const std::array lengths = {
      page,   page * (1 + below(4)), block * (1 + below(9)), below(500), below(20'000),
      extent, below(5 * extent)};
  return {.offset = any_size(file_size), .length = lengths[below(lengths.size())]};
}

// Tells when it was written, so that a difference tells which write was lost. Zeros at times: a page of them
// may be taken for none.
std::string FileExerciser::any_content(std::size_t length) {
  std::string content(length, '\0');
  if (one_in(8)) return content;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= length; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = static_cast<std::uint64_t>(operation_) << 32 | at;
    std::memcpy(content.data() + at, &word, sizeof word);
  }
  for (std::size_t at = length / 8 * 8; at < length; ++at) content[at] = static_cast<char>(operation_);
  return content;
}

// None: there was none, and an operation that opens one took place instead.
FileExerciser::OpenFile* FileExerciser::any_open() {
  if (!open_.empty()) return &open_[below(open_.size())];
  open_file();
  return nullptr;
}

std::uint64_t FileExerciser::size_of(const OpenFile& file) {
  struct stat status;
  if (fstat(file.model.get(), &status) != 0)
    throw TestFailure(fmt::format("fstat in the model: {}", std::strerror(errno)));
  return static_cast<std::uint64_t>(status.st_size);
}

void FileExerciser::look_at_names() {
  if (!names_changed_) return;
  folders_ = {""};
  files_.clear();
  links_.clear();
  for (const TreeEntry& entry : walk_tree(options_.model)) {
    if (S_ISDIR(entry.status.st_mode)) folders_.push_back(entry.path);
    if (S_ISREG(entry.status.st_mode)) files_[folder_of(entry.path)].push_back(entry.path);
    if (S_ISLNK(entry.status.st_mode)) links_.push_back(entry.path);
  }
  names_changed_ = false;
}

std::string FileExerciser::any_folder() {
  look_at_names();
  return folders_[below(folders_.size())];
}

// Never the directory itself; a name of none when there is no other.
std::string FileExerciser::any_folder_below() {
  look_at_names();
  if (folders_.size() == 1) return new_name("d");
  return folders_[1 + below(folders_.size() - 1)];
}

// By folder first: one with many files is not to get all the attention.
std::string FileExerciser::any_file() {
  look_at_names();
  if (!open_.empty() && one_in(4)) return open_[below(open_.size())].name;
  if (files_.empty()) return new_name("f");
  const auto& [folder, files] = *std::next(files_.begin(), static_cast<std::ptrdiff_t>(below(files_.size())));
  return files[below(files.size())];
}

std::string FileExerciser::any_link() {
  look_at_names();
  return links_.empty() ? new_name("l") : links_[below(links_.size())];
}

// Mostly of what is there.
std::string FileExerciser::any_name() {
  const auto kind = below(10);
  if (kind < 6) return any_file();
  if (kind < 7) return any_folder_below();
  if (kind < 8) return any_link();
  return new_name("f");
}

// Of few, so that it is often there already, or was once.
std::string FileExerciser::new_name(std::string_view kind) {
  std::string folder = any_folder();
  if (std::ranges::count(folder, '/') >= deepest_new_folder - 1) folder = "";
  return fmt::format("{}{}{}{}", folder, folder.empty() ? "" : "/", kind, below(6));
}

}  // namespace pgstrata::testing
