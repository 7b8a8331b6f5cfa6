#include "branch/branch_home.h"

#include <algorithm>

#include "repo/repository.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

std::filesystem::path cluster_folder(const std::filesystem::path& state_directory, std::string_view cluster) {
  return state_directory / branches_folder_name / cluster;
}

}  // namespace

Result<void> check_branch_name(std::string_view name) {
  if (check_cluster_name(name)) return {};
  return fail(ErrorCode::usage,
              "\"{}\" cannot name a branch: 1 to 48 of a-z, 0-9, \"_\" and \"-\", starting with a letter",
              name);
}

BranchHome::BranchHome(const std::filesystem::path& state_directory, std::string_view cluster,
                       std::string_view name)
    : path_(cluster_folder(state_directory, cluster) / name) {}

Result<LockFile> lock_branch(const BranchHome& home) {
  PGS_TRY(const bool there, file_exists(home.record()));
  if (!there) {
    const auto cluster = home.path().parent_path();
    auto error = make_error(ErrorCode::not_found, "{} has no branch \"{}\"", cluster.filename().native(),
                            home.path().filename().native());
    PGS_TRY(const auto names, branch_names(cluster.parent_path().parent_path(), cluster.filename().native()));
    return std::unexpected(std::move(error).with_hint(
        names.empty() ? "There are none on this machine; `pgstrata branch create` makes one."
                      : fmt::format("On this machine are: {}.", fmt::join(names, ", "))));
  }
  return lock_folder_of(home);
}

Result<LockFile> lock_folder_of(const BranchHome& home) {
  auto lock = LockFile::try_acquire(home.lock());
  if (!lock && lock.error().code() == ErrorCode::busy) {
    return std::unexpected(make_error(ErrorCode::busy, "another command is at work on branch \"{}\"",
                                      home.path().filename().native())
                               .with_hint("Wait until it has ended."));
  }
  return lock;
}

Result<void> check_socket_path(const BranchHome& home) {
  constexpr std::size_t longest_bytes = 90;  // of 108, with what PostgreSQL adds
  const auto folder = home.socket_folder().string();
  if (folder.size() <= longest_bytes) return {};
  return std::unexpected(
      make_error(
          ErrorCode::usage,
          "the branch's socket would be in \"{}\", and a path of more than {} bytes is too long for one",
          folder, longest_bytes)
          .with_hint("Set PGSTRATA_STATE_DIR to a folder with a shorter path, or give the branch a shorter "
                     "name."));
}

Result<std::vector<std::string>> branch_names(const std::filesystem::path& state_directory,
                                              std::string_view cluster) {
  std::vector<std::string> names;
  const auto entries = list_directory(cluster_folder(state_directory, cluster));
  if (!entries && entries.error().code() == ErrorCode::not_found) return names;
  if (!entries) return std::unexpected(entries.error());
  for (const auto& entry : *entries) {
    if (entry.kind != FileType::directory || !check_branch_name(entry.name)) continue;
    PGS_TRY(const bool whole, file_exists(BranchHome(state_directory, cluster, entry.name).record()));
    if (whole) names.push_back(entry.name);
  }
  return names;
}

Result<std::uint64_t> allocated_bytes(const std::filesystem::path& folder) {
  const auto entries = list_directory(folder);
  if (!entries && entries.error().code() == ErrorCode::not_found) return 0;
  if (!entries) return std::unexpected(entries.error());
  std::uint64_t bytes = 0;
  for (const auto& entry : *entries) {
    const auto path = folder / entry.name;
    if (entry.kind == FileType::directory) {
      if (const auto below = allocated_bytes(path)) bytes += *below;
      continue;
    }
    if (entry.kind != FileType::regular) continue;
    // It may be gone by now.
    if (const auto info = stat_file(path)) bytes += info->allocated_bytes;
  }
  return bytes;
}

}  // namespace pgstrata
