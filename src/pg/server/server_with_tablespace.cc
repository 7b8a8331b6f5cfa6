#include "pg/server/server_with_tablespace.h"

#include <algorithm>

#include <sys/stat.h>

#include "sys/files.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t name_limit_bytes = 64;

bool is_process(const std::string& name) {
  return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

// Everybody may read a process's name and owner, unlike its working directory.
bool is_server_of(const fs::path& process, uid_t user) {
  struct stat info {};
  if (::stat(process.c_str(), &info) != 0 || info.st_uid != user) return false;
  const auto name = read_file(process / "comm", name_limit_bytes);
  return name.has_value() && (as_text(*name) == "postgres\n" || as_text(*name) == "postmaster\n");
}

bool has_tablespace_at(const fs::path& data_directory, const fs::path& location) {
  std::error_code ignored;
  if (!fs::exists(data_directory / "postmaster.pid", ignored)) return false;
  for (const auto& link : fs::directory_iterator(data_directory / "pg_tblspc", ignored)) {
    if (fs::equivalent(link.path(), location, ignored)) return true;
  }
  return false;
}

}  // namespace

Result<std::optional<fs::path>> server_with_tablespace(const fs::path& location) {
  PGS_TRY(const auto entries, list_directory("/proc"));
  struct stat owner {};
  if (::stat(location.c_str(), &owner) != 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not look at \"{}\"", location.native())));
  }
  for (const auto& entry : entries) {
    if (!is_process(entry.name)) continue;
    const auto process = fs::path("/proc") / entry.name;
    std::error_code error;
    const auto works_in = fs::read_symlink(process / "cwd", error);  // for a postmaster its data directory
    if (!error && has_tablespace_at(process / "cwd", location)) return works_in;
    const bool hidden = error == std::errc::permission_denied || error == std::errc::operation_not_permitted;
    if (!hidden || !is_server_of(process, owner.st_uid)) continue;
    return std::unexpected(
        make_error(ErrorCode::busy,
                   "process {} is a PostgreSQL server, and this user may not see whether it uses \"{}\"",
                   entry.name, location.native())
            .with_hint("Stop it, run this as the user that it runs as, or give the tablespace another place "
                       "with --tablespace."));
  }
  return std::nullopt;
}

}  // namespace pgstrata
