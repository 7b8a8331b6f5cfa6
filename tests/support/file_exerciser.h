// Proves a file system against one that is known to be right: random operations on a directory of each, and
// the same answer from both after every one.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>

#include "sys/file_descriptor.h"

namespace pgstrata::testing {

struct FileExerciserOptions {
  std::filesystem::path subject;  // what is to be proven
  std::filesystem::path model;    // of equal content, on ext4, tmpfs or the like
  std::uint64_t seed = 0;
  // Many short runs find more than a long one: after thousands little is left of what was there at first.
  int operations = 2'000;
  int whole_compare_every = 500;
  // Kinds of operations to leave out, by the names in FileExerciser::all_operations().
  std::set<std::string> without{};
  // Makes the subject go and come back. Before, all in it is synced, and every descriptor closed.
  int remount_every = 0;  // never
  std::function<void()> remount{};
};

// Runs in this process, as the user it runs as: a FUSE mount of somebody else's has to allow that. Never
// touches the two directories themselves, nor anything outside of them. A bad page in a mapping is an answer
// like others, not a SIGBUS. Not thread-safe.
class FileExerciser {
 public:
  explicit FileExerciser(FileExerciserOptions options);

  // Once. Throws TestFailure with the seed, the operation's number and the last 20 in words when the two
  // differ, or when both fail as neither should (no space, an I/O error). No descriptor is open afterwards,
  // however it ends.
  void run();

  // How many system calls of each kind of operation did what they were asked for. Kinds with 0 have proven
  // nothing.
  [[nodiscard]] const std::map<std::string, int>& successes() const { return successes_; }

 private:
  struct Operation {
    const char* name;
    unsigned weight;
    void (FileExerciser::*run)();
  };
  struct OpenFile {
    int number = 0;
    std::string name{};  // when it was opened
    int flags = 0;
    FileDescriptor subject{};
    FileDescriptor model{};

    [[nodiscard]] std::string describe() const;
    [[nodiscard]] bool writable() const { return (flags & O_ACCMODE) != O_RDONLY; }
  };
  struct Outcome {
    long value = 0;
    int error = 0;

    bool operator==(const Outcome&) const = default;
    [[nodiscard]] std::string describe() const;
  };
  struct Range {
    std::uint64_t offset = 0;
    std::size_t length = 0;
  };

  static const std::vector<Operation>& all_operations();

  // file_exerciser.cc: what happens, and whether it is the same.
  void step();
  const Operation& any_operation();
  void note(std::string words);
  Outcome agree(Outcome subject, Outcome model);
  template <class Call>  // long call(), -1 with errno
  static Outcome outcome_of(Call&& call);
  template <class Call>  // long call(int descriptor)
  Outcome on_both(const OpenFile& file, Call&& call);
  template <class Call>  // long call(const std::string& root), which ends in a slash
  Outcome on_both(Call&& call);
  void check_bytes(std::string_view subject, std::string_view model, std::uint64_t offset) const;
  void check_open(const OpenFile& file) const;
  void check_name(const std::string& name) const;
  void check_listing(const std::string& folder) const;
  void compare_trees() const;
  void remount();
  void sync_subject();
  [[noreturn]] void fail(std::string_view what);

  // file_exerciser_choice.cc: what it happens to.
  [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  [[nodiscard]] bool one_in(std::uint64_t times) { return below(times) == 0; }
  [[nodiscard]] Range any_range(std::uint64_t file_size);
  [[nodiscard]] std::uint64_t any_size(std::uint64_t file_size);
  [[nodiscard]] std::string any_content(std::size_t length);
  [[nodiscard]] OpenFile* any_open();
  [[nodiscard]] static std::uint64_t size_of(const OpenFile& file);
  void look_at_names();
  [[nodiscard]] std::string any_folder();
  [[nodiscard]] std::string any_folder_below();
  [[nodiscard]] std::string any_file();
  [[nodiscard]] std::string any_link();
  [[nodiscard]] std::string any_name();
  [[nodiscard]] std::string new_name(std::string_view kind);

  // file_exerciser_content.cc: operations on open files.
  void open_file();
  void finish_open(OpenFile file);
  void close_file();
  void read_file();
  void write_file();
  void append();
  void resize();
  void resize_by_name();
  void sync();
  void sync_range();
  void allocate();
  void map_read();
  void map_write();
  void map(bool writing);
  void stat_open();
  void change_mode_of_open();

  // file_exerciser_names.cc: operations on names.
  void rename_file();
  void rename_folder();
  void rename(const std::string& from, const std::string& to);
  void unlink_name();
  void unlink_open();
  void unlink(const std::string& name);
  void link_file();
  void make_link();
  void read_link();
  void make_folder();
  void remove_folder();
  void list();
  void empty_folder();
  void stat_name();
  void change_mode();

  FileExerciserOptions options_;
  std::string subject_root_;
  std::string model_root_;
  std::mt19937_64 random_;
  std::vector<Operation> operations_;
  unsigned all_weights_ = 0;
  const char* current_ = "";
  int operation_ = 0;
  std::deque<std::string> history_;
  std::map<std::string, int> successes_;
  std::vector<OpenFile> open_;
  int next_number_ = 1;

  // What the model holds, as it was when somebody looked last.
  bool names_changed_ = true;
  std::vector<std::string> folders_;                       // the empty name is the directory itself
  std::map<std::string, std::vector<std::string>> files_;  // by folder
  std::vector<std::string> links_;
};

template <class Call>
FileExerciser::Outcome FileExerciser::outcome_of(Call&& call) {
  errno = 0;
  const long value = call();
  return {.value = value, .error = value < 0 ? errno : 0};
}

template <class Call>
FileExerciser::Outcome FileExerciser::on_both(const OpenFile& file, Call&& call) {
  const Outcome subject = outcome_of([&] { return call(file.subject.get()); });
  return agree(subject, outcome_of([&] { return call(file.model.get()); }));
}

template <class Call>
FileExerciser::Outcome FileExerciser::on_both(Call&& call) {
  const Outcome subject = outcome_of([&] { return call(subject_root_); });
  return agree(subject, outcome_of([&] { return call(model_root_); }));
}

}  // namespace pgstrata::testing
