// Two folders with all that is in them, held against each other; and one to begin with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

namespace pgstrata::testing {

// Type and mode, and but for folders size and number of names: what any two file systems have to agree on.
[[nodiscard]] std::string facts_of(const struct stat& status);

// The names in a folder, sorted, each with its type; without "." and "..". `error` is an errno, or 0.
struct FolderListing {
  int error = 0;
  std::vector<std::string> entries{};

  bool operator==(const FolderListing&) const = default;
};
[[nodiscard]] FolderListing list_folder(const std::string& path);

// Everything below a folder, by its path from there, sorted, a folder before what is in it. Links are not
// followed. Throws TestFailure when the folder cannot be read.
struct TreeEntry {
  std::string path;
  struct stat status;
};
[[nodiscard]] std::vector<TreeEntry> walk_tree(const std::filesystem::path& root);

// Where two pieces of content that were read at `offset` differ, with the first bytes from there; empty when
// they do not.
[[nodiscard]] std::string bytes_difference(std::string_view subject, std::string_view model,
                                           std::uint64_t offset);

// In words, no more than `limit`; none when the trees are equal: names, facts, what symbolic links say, which
// names are of one file, and every byte. Throws TestFailure when one of them cannot be read.
[[nodiscard]] std::vector<std::string> tree_differences(const std::filesystem::path& subject,
                                                        const std::filesystem::path& model,
                                                        std::size_t limit = 10);

// Fills an empty folder, the same for each seed: folders two deep, an empty one and one with many files among
// them; files empty, of 100 bytes, whole and odd numbers of pages, around 128 KiB, of a few MiB, and sparse.
// Modes are those of a data directory, 0700 and 0600. Throws TestFailure.
void make_varied_tree(const std::filesystem::path& root, std::uint64_t seed);

}  // namespace pgstrata::testing
