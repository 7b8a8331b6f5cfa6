#include "support/file_tree.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "support/test_failure.h"
#include "sys/file_descriptor.h"

namespace pgstrata::testing {
namespace {

constexpr std::size_t compared_at_once = 1 << 20;

[[noreturn]] void tree_failure(std::string_view call, const std::string& path) {
  throw TestFailure(fmt::format("{} {}: {}", call, path, std::strerror(errno)));
}

const char* type_name(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "folder";
  if (S_ISLNK(mode)) return "link";
  return "something else";
}

// A file system may leave the type in a listing open.
mode_t type_in_listing(const std::string& folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return DTTOIF(entry.d_type);
  struct stat status;
  return lstat((folder + "/" + entry.d_name).c_str(), &status) == 0 ? status.st_mode : 0;
}

void walk_folder(const std::string& folder, const std::string& prefix, std::vector<TreeEntry>& into) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(folder.c_str()), &closedir);
  if (!stream) tree_failure("opendir", folder);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) tree_failure("readdir", folder);
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", folder, name);
    TreeEntry entry{.path = prefix + name, .status = {}};
    if (lstat(path.c_str(), &entry.status) != 0) tree_failure("lstat", path);
    into.push_back(entry);
    if (S_ISDIR(entry.status.st_mode)) walk_folder(path, entry.path + "/", into);
  }
}

std::string link_target(const std::string& path) {
  std::string target(4096, '\0');
  const auto length = readlink(path.c_str(), target.data(), target.size());
  if (length < 0) tree_failure("readlink", path);
  target.resize(static_cast<std::size_t>(length));
  return target;
}

FileDescriptor open_file_to_read(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) tree_failure("open", path);
  return file;
}

std::string content_difference(const std::string& subject_path, const std::string& model_path) {
  const FileDescriptor subject = open_file_to_read(subject_path);
  const FileDescriptor model = open_file_to_read(model_path);
  std::string here(compared_at_once, '\0');
  std::string there(compared_at_once, '\0');
  for (std::uint64_t offset = 0;;) {
    const auto got = pread(subject.get(), here.data(), here.size(), static_cast<off_t>(offset));
    if (got < 0) tree_failure("pread", subject_path);
    const auto expected = pread(model.get(), there.data(), there.size(), static_cast<off_t>(offset));
    if (expected < 0) tree_failure("pread", model_path);
    if (got != expected)
      return fmt::format("{} bytes were read at {}, {} in the model", got, offset, expected);
    if (got == 0) return {};
    const auto length = static_cast<std::size_t>(got);
    auto difference = bytes_difference({here.data(), length}, {there.data(), length}, offset);
    if (!difference.empty()) return difference;
    offset += length;
  }
}

// What each entry is, in words that are equal when the entries are.
std::map<std::string, std::string> described_tree(const std::filesystem::path& root) {
  std::map<std::string, std::string> result;
  std::map<std::pair<dev_t, ino_t>, std::string> first_names;
  for (const TreeEntry& entry : walk_tree(root)) {
    std::string facts = facts_of(entry.status);
    if (S_ISLNK(entry.status.st_mode)) facts += fmt::format(", to \"{}\"", link_target(root / entry.path));
    if (!S_ISDIR(entry.status.st_mode) && entry.status.st_nlink > 1) {
      const std::pair inode{entry.status.st_dev, entry.status.st_ino};
      facts += ", the same as " + first_names.try_emplace(inode, entry.path).first->second;
    }
    result.emplace(entry.path, std::move(facts));
  }
  return result;
}

void write_all(const FileDescriptor& file, const std::string& content, std::uint64_t offset,
               const std::string& path) {
  const auto written = pwrite(file.get(), content.data(), content.size(), static_cast<off_t>(offset));
  if (written != static_cast<ssize_t>(content.size())) tree_failure("pwrite", path);
}

// Half of each page is random, the other compresses well, as PostgreSQL's do.
std::string page_like_content(std::size_t size, std::mt19937_64& random) {
  std::string content(size, '\0');
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = at % 8192 < 4096 ? random() : at / 8192;
    std::memcpy(content.data() + at, &word, sizeof word);
  }
  return content;
}

FileDescriptor make_new_file(const std::filesystem::path& path) {
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) tree_failure("create", path);
  return file;
}

// The size is the name.
void make_files(const std::filesystem::path& folder, std::span<const std::size_t> sizes,
                std::mt19937_64& random) {
  for (const std::size_t size : sizes) {
    const auto path = folder / std::to_string(size);
    write_all(make_new_file(path), page_like_content(size, random), 0, path);
  }
}

void make_sparse_file(const std::filesystem::path& path, std::mt19937_64& random) {
  const FileDescriptor file = make_new_file(path);
  if (ftruncate(file.get(), (4 << 20) + 100) != 0) tree_failure("ftruncate", path);
  for (const std::uint64_t offset : {8192U, 131072U - 100U, 3U << 20})
    write_all(file, page_like_content(8192, random), offset, path);
}

}  // namespace

std::string facts_of(const struct stat& status) {
  auto facts = fmt::format("{} {:04o}", type_name(status.st_mode), status.st_mode & 07777);
  if (!S_ISDIR(status.st_mode)) facts += fmt::format(", {} bytes, {} names", status.st_size, status.st_nlink);
  return facts;
}

FolderListing list_folder(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(path.c_str()), &closedir);
  if (!stream) return {.error = errno};
  FolderListing listing;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    listing.entries.push_back(fmt::format("{} ({})", name, type_name(type_in_listing(path, *entry))));
  }
  listing.error = errno;
  std::ranges::sort(listing.entries);
  return listing;
}

std::vector<TreeEntry> walk_tree(const std::filesystem::path& root) {
  std::vector<TreeEntry> entries;
  walk_folder(root, "", entries);
  return entries;
}

std::string bytes_difference(std::string_view subject, std::string_view model, std::uint64_t offset) {
  const auto [here, there] = std::ranges::mismatch(subject, model);
  if (here == subject.end() && there == model.end()) return {};
  const auto at = static_cast<std::size_t>(here - subject.begin());
  std::size_t count = std::max(subject.size(), model.size()) - std::min(subject.size(), model.size());
  for (std::size_t i = 0; i < std::min(subject.size(), model.size()); ++i) count += subject[i] != model[i];
  const auto hex = [at](std::string_view bytes) {
    std::string text;
    for (const char each : bytes.substr(at, 16))
      text += fmt::format("{:02x}", static_cast<unsigned char>(each));
    return text;
  };
  return fmt::format("{} of {} bytes read at {} differ, the first at {}: {}.. here, {}.. in the model", count,
                     model.size(), offset, offset + at, hex(subject), hex(model));
}

std::vector<std::string> tree_differences(const std::filesystem::path& subject,
                                          const std::filesystem::path& model, std::size_t limit) {
  const auto here = described_tree(subject);
  const auto there = described_tree(model);
  std::vector<std::string> differences;
  const auto note = [&](const std::string& path, const std::string& difference) {
    if (!difference.empty() && differences.size() < limit) differences.push_back(path + ": " + difference);
  };
  for (const auto& [path, facts] : here)
    if (!there.contains(path)) note(path, facts + "; nothing in the model");
  for (const auto& [path, facts] : there) {
    const auto found = here.find(path);
    if (found == here.end()) {
      note(path, "nothing; in the model " + facts);
    } else if (found->second != facts) {
      note(path, fmt::format("{}; in the model {}", found->second, facts));
    } else if (facts.starts_with("file")) {
      note(path, content_difference(subject / path, model / path));
    }
  }
  return differences;
}

void make_varied_tree(const std::filesystem::path& root, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (const char* folder : {"base", "base/1", "base/5", "global", "pg_notify", "many"})
    if (const auto path = root / folder; mkdir(path.c_str(), 0700) != 0) tree_failure("mkdir", path);
  make_files(root, std::vector<std::size_t>{0, 3, 100, 8191}, random);
  make_files(root / "global", std::vector<std::size_t>{0, 100, 8192, 12'345, 131'072}, random);
  make_files(root / "base/1", std::vector<std::size_t>{8192, 24'576, 131'071, 131'073, 262'144}, random);
  make_files(root / "base/5", std::vector<std::size_t>{4096, 65'536, 1'048'576, 3'145'745}, random);
  make_sparse_file(root / "base/5/sparse", random);
  // More than one reading of a folder takes in.
  for (int i = 0; i < 200; ++i) {
    const auto path = root / "many" / fmt::format("{:08}_of_a_name_as_long_as_that_of_a_segment", i);
    write_all(make_new_file(path), page_like_content(random() % 300, random), 0, path);
  }
}

}  // namespace pgstrata::testing
