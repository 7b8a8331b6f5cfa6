#include "pg/server/server_installation.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <span>
#include <vector>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/process.h"

namespace pgstrata {
namespace {

// As server_version_num, of "postgres (PostgreSQL) 15.18 (Debian …)", "postgres (PostgreSQL) 18beta1". Nothing
// when it is another program.
std::optional<std::uint32_t> version_of_program(const std::filesystem::path& postgres) {
  const auto run = run_command({.arguments = {postgres.string(), "--version"}});
  if (!run.has_value() || !run->status.success()) return std::nullopt;
  const std::string_view text = as_text(run->output);
  constexpr std::string_view mark = "(PostgreSQL) ";
  const auto at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  const auto last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + at + mark.size(), last, major);
  if (error != std::errc()) return std::nullopt;
  if (end != last && *end == '.') std::from_chars(end + 1, last, minor);
  return major * 10000 + minor;
}

std::vector<std::filesystem::path> folders_of_variable(const char* name) {
  std::vector<std::filesystem::path> folders;
  const char* value = std::getenv(name);
  for (std::string_view rest = value == nullptr ? "" : value; !rest.empty();) {
    const auto end = rest.find(':');
    if (end != 0) folders.emplace_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
  }
  return folders;
}

bool holds_server(const std::filesystem::path& folder) {
  return ::access((folder / "postgres").c_str(), X_OK) == 0;
}

std::optional<std::filesystem::path> first_of_major(std::span<const std::filesystem::path> folders,
                                                    int major) {
  for (const auto& folder : folders) {
    if (!holds_server(folder)) continue;
    const auto version = version_of_program(folder / "postgres");
    if (version && *version / 10000 == static_cast<std::uint32_t>(major)) return folder;
  }
  return std::nullopt;
}

// The packages' own folders are named after the major: to ask the program takes as long as to start it.
std::optional<std::filesystem::path> packaged(int major) {
  for (auto folder :
       {fmt::format("/usr/lib/postgresql/{}/bin", major), fmt::format("/usr/pgsql-{}/bin", major)}) {
    if (holds_server(folder)) return folder;
  }
  return std::nullopt;
}

}  // namespace

Result<ServerInstallation> ServerInstallation::find(int major) {
  auto found = first_of_major(folders_of_variable("PGSTRATA_PG_BINDIR"), major);
  if (!found) found = packaged(major);
  if (!found) found = first_of_major(folders_of_variable("PATH"), major);
  if (found) return ServerInstallation(major, std::filesystem::absolute(*found));
  return std::unexpected(
      make_error(ErrorCode::not_found, "PostgreSQL {} is not installed on this machine", major)
          .with_hint(
              fmt::format("Install Debian's postgresql-{} (apt.postgresql.org has every major), or name the "
                          "folder of its programs in PGSTRATA_PG_BINDIR.",
                          major)));
}

Result<std::filesystem::path> ServerInstallation::program(std::string_view name) const {
  auto path = directory_ / name;
  if (::access(path.c_str(), X_OK) == 0) return path;
  return std::unexpected(
      make_error(ErrorCode::not_found, "PostgreSQL {} has no {} in {}", major_, name, directory_.string())
          .with_hint(
              fmt::format("Install Debian's postgresql-client-{} and postgresql-{}.", major_, major_)));
}

Result<std::uint32_t> ServerInstallation::version() const {
  const auto version = version_of_program(directory_ / "postgres");
  if (version) return *version;
  return fail(ErrorCode::failed, "{} does not say which version it is", (directory_ / "postgres").string());
}

Result<int> major_of_data_directory(const std::filesystem::path& data_directory) {
  PGS_TRY(const auto content, read_regular_file(data_directory / "PG_VERSION", 64));
  const auto text = as_text(content);
  int major = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), major);
  const bool well_formed = error == std::errc() && (end == text.data() + text.size() || *end == '\n');
  if (!well_formed) {
    return fail(ErrorCode::damaged, "{} does not name a major of PostgreSQL 10 or later",
                (data_directory / "PG_VERSION").string());
  }
  return major;
}

namespace {

Result<std::string> name_of_user(uid_t user, const std::filesystem::path& data_directory) {
  struct passwd entry {};
  struct passwd* found = nullptr;
  std::array<char, 16384> space{};
  ::getpwuid_r(user, &entry, space.data(), space.size(), &found);
  if (found != nullptr) return std::string(entry.pw_name);
  return fail(ErrorCode::permission, "{} belongs to user {}, who is unknown on this machine",
              data_directory.string(), user);
}

}  // namespace

Result<std::string> owner_of_folder(const std::filesystem::path& folder) {
  struct stat info {};
  if (::lstat(folder.c_str(), &info) != 0)
    return std::unexpected(error_from_errno(errno, fmt::format("could not look at {}", folder.string())));
  if (!S_ISDIR(info.st_mode)) return fail(ErrorCode::failed, "{} is no folder", folder.string());
  return name_of_user(info.st_uid, folder);
}

Result<std::optional<std::string>> user_for_data_directory(const std::filesystem::path& data_directory) {
  if (::geteuid() != 0) return std::optional<std::string>();
  struct stat info {};
  if (::stat(data_directory.c_str(), &info) != 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not look at {}", data_directory.string())));
  }
  if (info.st_uid == 0) {
    return std::unexpected(make_error(ErrorCode::permission,
                                      "{} belongs to root, as whom PostgreSQL refuses to run",
                                      data_directory.string())
                               .with_hint(fmt::format("Give it to a user of its own: chown -R postgres: {}",
                                                      data_directory.string())));
  }
  PGS_TRY(auto name, name_of_user(info.st_uid, data_directory));
  return std::optional(std::move(name));
}

}  // namespace pgstrata
