// FileExerciser's operations on names.
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/file_exerciser.h"
#include "support/file_tree.h"

namespace pgstrata::testing {
namespace {

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// As a program does that removes a folder: each file as it is read. Those that were there at the beginning
// have all to be met. -1 with errno, or how many are gone.
long unlink_while_reading(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(folder.c_str()), &closedir);
  if (!stream) return -1;
  long removed = 0;
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {
    if (::unlink(fmt::format("{}/{}", folder, entry->d_name).c_str()) == 0) ++removed;
    errno = 0;
  }
  return errno == 0 ? removed : -1;
}

}  // namespace

void FileExerciser::rename_file() {
  const std::string from = one_in(8) ? any_name() : any_file();
  rename(from, one_in(3) ? any_name() : new_name("f"));
}

void FileExerciser::rename_folder() {
  const std::string from = any_folder_below();
  rename(from, one_in(3) ? any_folder_below() : one_in(6) ? any_file() : new_name("d"));
}

void FileExerciser::rename(const std::string& from, const std::string& to) {
  note(fmt::format("rename {} to {}", from, to));
  names_changed_ = true;
  on_both([&](const std::string& root) { return std::rename((root + from).c_str(), (root + to).c_str()); });
  check_name(from);
  check_name(to);
  check_listing(parent_of(from));
  check_listing(parent_of(to));
}

void FileExerciser::unlink_name() {
  unlink(one_in(2) ? new_name("f") : any_name());
}

// What is open goes on being read and written.
void FileExerciser::unlink_open() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  unlink(file->name);
  check_open(*file);
}

void FileExerciser::unlink(const std::string& name) {
  note("unlink " + name);
  names_changed_ = true;
  on_both([&](const std::string& root) { return ::unlink((root + name).c_str()); });
  check_name(name);
  check_listing(parent_of(name));
}

void FileExerciser::link_file() {
  const std::string from = one_in(8) ? any_name() : any_file();
  const std::string to = new_name("f");
  note(fmt::format("link {} as {}", from, to));
  names_changed_ = true;
  on_both([&](const std::string& root) { return ::link((root + from).c_str(), (root + to).c_str()); });
  check_name(from);
  check_name(to);
}

// Only to what is below the link's folder, or nowhere: a link cannot lead out of the directory, wherever it
// is moved to.
void FileExerciser::make_link() {
  const std::array<std::string, 6> targets = {
      fmt::format("f{}", below(6)), fmt::format("l{}", below(6)),
      fmt::format("d{}", below(6)), fmt::format("d{}/f1", below(6)),
      "/nonexistent/16400",         fmt::format("{}", fmt::join(std::vector<std::string>(100, "xx"), "/"))};
  const std::string& target = targets[below(targets.size())];
  const std::string name = one_in(8) ? any_name() : new_name("l");
  note(fmt::format("symlink {} to {}", name, target));
  names_changed_ = true;
  on_both([&](const std::string& root) { return ::symlink(target.c_str(), (root + name).c_str()); });
  check_name(name);
}

void FileExerciser::read_link() {
  const std::string name = one_in(8) ? any_name() : any_link();
  note("readlink " + name);
  std::array<std::string, 2> targets;
  auto target = targets.begin();
  const std::size_t room = one_in(4) ? 2 : 1000;
  on_both([&](const std::string& root) {
    target->resize(room);
    return readlink((root + name).c_str(), (target++)->data(), room);
  });
  check_bytes(targets[0], targets[1], 0);
}

void FileExerciser::make_folder() {
  const std::string name = one_in(6) ? any_name() : new_name("d");
  const mode_t mode = one_in(2) ? 0700 : 0755;
  note("mkdir " + name);
  names_changed_ = true;
  on_both([&](const std::string& root) { return ::mkdir((root + name).c_str(), mode); });
  check_name(name);
  check_listing(parent_of(name));
}

void FileExerciser::remove_folder() {
  const std::string name = one_in(6) ? any_name() : any_folder_below();
  note("rmdir " + name);
  names_changed_ = true;
  on_both([&](const std::string& root) { return ::rmdir((root + name).c_str()); });
  check_name(name);
  check_listing(parent_of(name));
}

void FileExerciser::list() {
  const std::string name = one_in(8) ? any_name() : any_folder();
  note(fmt::format("readdir \"{}\"", name));
  const auto result = [](const std::string& path) {
    const int error = list_folder(path).error;
    return Outcome{.value = error == 0 ? 0 : -1, .error = error};
  };
  agree(result(subject_root_ + name), result(model_root_ + name));
  check_listing(name);
}

void FileExerciser::empty_folder() {
  const std::string name = any_folder();
  note(fmt::format("unlink all while reading \"{}\"", name));
  names_changed_ = true;
  on_both([&](const std::string& root) { return unlink_while_reading(root + name); });
  check_listing(name);
}

void FileExerciser::stat_name() {
  const std::string name = any_name();
  note("stat " + name);
  struct stat status;
  on_both([&](const std::string& root) { return stat((root + name).c_str(), &status); });
  check_name(name);
}

void FileExerciser::change_mode() {
  const std::string name = one_in(4) ? any_folder_below() : any_name();
  // The owner keeps what is needed to look into it: the comparison has to.
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(model_root_ + name, ignored);
  const std::array<mode_t, 3> modes = {0600, 0640, 0444};
  const std::array<mode_t, 3> folder_modes = {0700, 0750, 0755};
  const auto which = below(modes.size());
  const mode_t mode = folder ? folder_modes[which] : modes[which];
  note(fmt::format("chmod {} to {:04o}", name, mode));
  on_both([&](const std::string& root) { return chmod((root + name).c_str(), mode); });
  check_name(name);
}

}  // namespace pgstrata::testing
