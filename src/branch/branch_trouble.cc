#include "branch/branch_trouble.h"

#include "branch/mount_failure.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

std::filesystem::path kept_log(const BranchHome& home, const std::filesystem::path& log) {
  return fmt::format("{}.{}", home.path().native(), log.filename().native());
}

// Takes it out of the folder. Nothing where nothing was written to it.
std::optional<std::filesystem::path> keep_log(const BranchHome& home, const std::filesystem::path& log) {
  const auto info = stat_file(log);
  const auto kept = kept_log(home, log);
  if (!info || info->size_bytes == 0 || !rename_file(log, kept)) return std::nullopt;
  return kept;
}

std::string what_it_lacks(const BranchHome& home, bool mounted) {
  if (!mounted) {
    return fmt::format(
        "its file system is not there: the machine was started anew, or the process died (its log is {})",
        home.mount_log().native());
  }
  const auto ended =
      make_error(ErrorCode::failed, "its server ended (its log is {})", home.server_log().native());
  return explained_by_mount(home, ended).describe();
}

}  // namespace

std::optional<std::string> lack_of_room(const BranchHome& home) {
  constexpr std::uint64_t little_bytes = 64U << 20;  // PostgreSQL writes segments of 16 MiB, and checkpoints
  const auto room = free_space_bytes(home.path());
  if (!room || *room >= little_bytes) return std::nullopt;
  return fmt::format("the disk of \"{}\" has {} MiB left: make room ({} may go)", home.path().native(),
                     *room >> 20U, (home.state_directory() / "cache").native());
}

std::string trouble_of(const BranchHome& home, bool mounted) {
  auto trouble = what_it_lacks(home, mounted);
  if (const auto lack = lack_of_room(home)) trouble += "; " + *lack;
  return trouble;
}

Error with_kept_logs(const BranchHome& home, Error error) {
  auto hint = error.hint();
  for (const auto& log : {home.server_log(), home.mount_log()}) {
    const auto kept = keep_log(home, log);
    if (!kept) continue;
    if (const auto at = hint.find(log.native()); at != std::string::npos) {
      hint.replace(at, log.native().size(), kept->native());
    } else {
      hint += fmt::format("{}{} is kept.", hint.empty() ? "" : " ", kept->native());
    }
  }
  return std::move(error).with_hint(std::move(hint));
}

void remove_kept_logs(const BranchHome& home) {
  for (const auto& log : {home.server_log(), home.mount_log()})
    static_cast<void>(remove_file_if_there(kept_log(home, log)));
}

}  // namespace pgstrata
