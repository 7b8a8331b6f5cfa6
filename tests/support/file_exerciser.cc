#include "support/file_exerciser.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/file_tree.h"
#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr std::size_t remembered_operations = 20;

// That both fail alike proves nothing when it is one of these.
constexpr std::array never_right = {EIO, ENOSPC, EDQUOT, EROFS, EMFILE, ENFILE, ENOMEM, ENOSYS};

std::string facts_at(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return strerrorname_np(errno);
  return facts_of(status);
}

std::string facts_of_open(const FileDescriptor& file) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) return strerrorname_np(errno);
  return facts_of(status);
}

}  // namespace

const std::vector<FileExerciser::Operation>& FileExerciser::all_operations() {
  using Self = FileExerciser;
  static const std::vector<Operation> operations = {
      {"open", 100, &Self::open_file},
      {"close", 40, &Self::close_file},
      {"pread", 120, &Self::read_file},
      {"pwrite", 140, &Self::write_file},
      {"append", 50, &Self::append},
      {"ftruncate", 40, &Self::resize},
      {"truncate", 15, &Self::resize_by_name},
      {"fsync", 25, &Self::sync},
      {"sync_file_range", 15, &Self::sync_range},
      {"fallocate", 30, &Self::allocate},
      {"map_read", 25, &Self::map_read},
      {"map_write", 30, &Self::map_write},
      {"fstat", 15, &Self::stat_open},
      {"fchmod", 10, &Self::change_mode_of_open},
      {"rename", 50, &Self::rename_file},
      {"rename_folder", 20, &Self::rename_folder},
      {"unlink", 30, &Self::unlink_name},
      {"unlink_open", 15, &Self::unlink_open},
      {"link", 25, &Self::link_file},
      {"symlink", 20, &Self::make_link},
      {"readlink", 15, &Self::read_link},
      {"mkdir", 20, &Self::make_folder},
      {"rmdir", 25, &Self::remove_folder},
      {"readdir", 30, &Self::list},
      {"empty_folder", 3, &Self::empty_folder},
      {"stat", 30, &Self::stat_name},
      {"chmod", 15, &Self::change_mode},
  };
  return operations;
}

std::string FileExerciser::Outcome::describe() const {
  return value < 0 ? std::string(strerrorname_np(error)) : std::to_string(value);
}

FileExerciser::FileExerciser(FileExerciserOptions options)
    : options_(std::move(options)),
      subject_root_(options_.subject.string() + "/"),
      model_root_(options_.model.string() + "/"),
      random_(options_.seed) {
  auto unknown = options_.without;
  for (const Operation& operation : all_operations()) {
    if (unknown.erase(operation.name) > 0) continue;
    operations_.push_back(operation);
    all_weights_ += operation.weight;
    successes_.emplace(operation.name, 0);
  }
  if (!unknown.empty()) throw TestFailure(fmt::format("no such operations: {}", fmt::join(unknown, ", ")));
}

void FileExerciser::run() {
  try {
    compare_trees();
    while (operation_ < options_.operations) step();
    open_.clear();
    compare_trees();
  } catch (const std::exception& error) {
    open_.clear();
    fail(error.what());
  }
}

void FileExerciser::step() {
  ++operation_;
  const Operation& operation = any_operation();
  current_ = operation.name;
  (this->*operation.run)();
  if (operation_ % options_.whole_compare_every == 0) compare_trees();
  if (options_.remount_every > 0 && operation_ % options_.remount_every == 0) remount();
}

const FileExerciser::Operation& FileExerciser::any_operation() {
  auto drawn = below(all_weights_);
  auto chosen = operations_.begin();
  for (; drawn >= chosen->weight; ++chosen) drawn -= chosen->weight;
  return *chosen;
}

void FileExerciser::note(std::string words) {
  history_.push_back(fmt::format("{}: {}", operation_, words));
  if (history_.size() > remembered_operations) history_.pop_front();
}

FileExerciser::Outcome FileExerciser::agree(Outcome subject, Outcome model) {
  history_.back() += " = " + subject.describe();
  if (subject != model)
    throw TestFailure(
        fmt::format("{}: {} here, {} in the model", current_, subject.describe(), model.describe()));
  if (model.value < 0 && std::ranges::find(never_right, model.error) != never_right.end())
    throw TestFailure(fmt::format("{}: {} here and in the model", current_, model.describe()));
  if (model.value >= 0) ++successes_.at(current_);
  return model;
}

void FileExerciser::check_bytes(std::string_view subject, std::string_view model,
                                std::uint64_t offset) const {
  if (const auto difference = bytes_difference(subject, model, offset); !difference.empty())
    throw TestFailure(fmt::format("{}: {}", current_, difference));
}

void FileExerciser::check_open(const OpenFile& file) const {
  const auto here = facts_of_open(file.subject);
  const auto there = facts_of_open(file.model);
  if (here != there)
    throw TestFailure(fmt::format("fstat {}: {} here, {} in the model", file.describe(), here, there));
}

void FileExerciser::check_name(const std::string& name) const {
  const auto here = facts_at(subject_root_ + name);
  const auto there = facts_at(model_root_ + name);
  if (here != there) throw TestFailure(fmt::format("stat {}: {} here, {} in the model", name, here, there));
}

void FileExerciser::check_listing(const std::string& folder) const {
  const auto here = list_folder(subject_root_ + folder);
  const auto there = list_folder(model_root_ + folder);
  if (here == there) return;
  std::vector<std::string> more;
  std::vector<std::string> less;
  std::ranges::set_difference(here.entries, there.entries, std::back_inserter(more));
  std::ranges::set_difference(there.entries, here.entries, std::back_inserter(less));
  throw TestFailure(
      fmt::format("listing of \"{}\": only here [{}], only in the model [{}]; errno {} here, {} there",
                  folder, fmt::join(more, ", "), fmt::join(less, ", "), here.error, there.error));
}

void FileExerciser::compare_trees() const {
  const auto differences = tree_differences(options_.subject, options_.model);
  if (!differences.empty())
    throw TestFailure(fmt::format("the trees differ:\n  {}", fmt::join(differences, "\n  ")));
}

void FileExerciser::remount() {
  note("sync and close all, remount");
  sync_subject();
  open_.clear();
  options_.remount();
  names_changed_ = true;
  compare_trees();
}

void FileExerciser::sync_subject() {
  const auto sync_one = [](const std::string& path) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file || fsync(file.get()) != 0)
      throw TestFailure(fmt::format("fsync {}: {}", path, std::strerror(errno)));
  };
  for (const TreeEntry& entry : walk_tree(options_.subject))
    if (!S_ISLNK(entry.status.st_mode)) sync_one(subject_root_ + entry.path);
  sync_one(subject_root_);
}

void FileExerciser::fail(std::string_view what) {
  throw TestFailure(fmt::format("{}\nseed {}, operation {} of {}; the last ones:\n  {}", what, options_.seed,
                                operation_, options_.operations, fmt::join(history_, "\n  ")));
}

}  // namespace pgstrata::testing
