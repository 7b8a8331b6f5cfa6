// What is mounted, and whether mounting is possible: asked without a session.
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include <sys/mount.h>
#include <unistd.h>

#include "branch/fuse/fuse_mount.h"
#include "sys/files.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

// As /proc/self/mountinfo writes paths.
std::string escaped(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      text += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    } else {
      text += c;
    }
  }
  return text;
}

bool leads_into(const std::filesystem::path& link, const std::filesystem::path& folder) {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(link, error);
  return !error && (target == folder || target.native().starts_with(folder.native() + "/"));
}

bool process_uses(const std::filesystem::path& process, const std::filesystem::path& folder) {
  if (leads_into(process / "cwd", folder) || leads_into(process / "root", folder)) return true;
  const auto open_files = list_directory(process / "fd");
  return open_files && std::ranges::any_of(*open_files, [&](const DirectoryEntry& file) {
           return leads_into(process / "fd" / file.name, folder);
         });
}

// "bash (process 4711)", as far as this user may know.
std::vector<std::string> users_of(const std::filesystem::path& folder) {
  std::vector<std::string> users;
  const auto processes = list_directory("/proc");
  if (!processes) return users;
  for (const auto& entry : *processes) {
    const auto process = std::filesystem::path("/proc") / entry.name;
    if (!std::isdigit(static_cast<unsigned char>(entry.name.front())) || !process_uses(process, folder))
      continue;
    const auto name = read_file(process / "comm", 64);
    const auto text = name ? as_text(*name) : std::string_view();
    users.push_back(fmt::format("{} (process {})", text.substr(0, text.find('\n')), entry.name));
  }
  return users;
}

Error in_use(const std::filesystem::path& mount_point, std::string_view why) {
  const auto users = users_of(mount_point);
  if (users.empty())
    return make_error(ErrorCode::busy, "could not unmount \"{}\": {}", mount_point.native(), why);
  return make_error(ErrorCode::busy, "could not unmount \"{}\": {}; it is in use by {}", mount_point.native(),
                    why, fmt::join(users, ", "))
      .with_hint("A shell that stands in it is enough. Leave it, or end what uses it, and try again.");
}

Result<void> unmount_as_root(const std::filesystem::path& mount_point, bool detach) {
  if (::umount2(mount_point.c_str(), detach ? MNT_DETACH : 0) == 0) return {};
  const int number = errno;
  if (number == EBUSY) return std::unexpected(in_use(mount_point, std::strerror(number)));
  return std::unexpected(error_from_errno(number, fmt::format("unmount \"{}\"", mount_point.native())));
}

Result<void> unmount_as_user(const std::filesystem::path& mount_point, bool detach) {
  ProcessOptions command;
  command.arguments = {"fusermount3", "-u"};
  if (detach) command.arguments.emplace_back("-z");
  command.arguments.push_back(mount_point.native());
  PGS_TRY(const auto result, run_command(std::move(command)));
  if (result.status.success()) return {};
  auto words = as_text(result.errors);
  return std::unexpected(in_use(mount_point, words.substr(0, words.find('\n'))));
}

Error without_fuse(std::string_view what) {
  return make_error(ErrorCode::unsupported, "a branch needs FUSE: {}", what)
      .with_hint(
          "Install the package fuse3 and allow /dev/fuse (in a container: --device /dev/fuse --cap-add "
          "SYS_ADMIN). Without it, `pgstrata restore` gives a native data directory instead.");
}

}  // namespace

Result<void> check_fuse() {
  const auto device = open_file("/dev/fuse", O_RDWR);
  if (!device) return std::unexpected(without_fuse(device.error().message()));
  if (::geteuid() == 0) return {};
  if (const auto program = find_program("fusermount3"); !program)
    return std::unexpected(without_fuse("the program fusermount3 is missing"));
  return {};
}

Result<bool> is_fuse_mounted(const std::filesystem::path& mount_point) {
  PGS_TRY(const auto table, read_file("/proc/self/mountinfo"));
  const auto wanted = escaped(mount_point.native());
  auto text = as_text(table);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    // "36 35 98:0 ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE OPTIONS"; whoever mounts chooses the source.
    auto place = line;
    for (int field = 0; field < 4; ++field) place.remove_prefix(std::min(place.find(' ') + 1, place.size()));
    if (place.substr(0, place.find(' ')) == wanted &&
        line.find(" - fuse.pgstrata ") != std::string_view::npos)
      return true;
  }
  return false;
}

Result<void> unmount_fuse(const std::filesystem::path& mount_point, bool detach) {
  PGS_TRY(const bool mounted, is_fuse_mounted(mount_point));
  if (!mounted) return {};
  auto unmounted =
      ::geteuid() == 0 ? unmount_as_root(mount_point, detach) : unmount_as_user(mount_point, detach);
  if (unmounted) return {};
  PGS_TRY(const bool still_mounted, is_fuse_mounted(mount_point));  // its process may have taken it away
  return still_mounted ? unmounted : Result<void>();
}

}  // namespace pgstrata
