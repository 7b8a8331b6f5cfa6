// FileExerciser's operations on open files.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/file_exerciser.h"
#include "support/test_failure.h"

namespace pgstrata::testing {
namespace {

constexpr std::size_t most_open = 12;
constexpr std::size_t longest_mapping = 256 << 10;

std::string open_flags_text(int flags) {
  const std::array access = {"O_RDONLY", "O_WRONLY", "O_RDWR"};
  std::string text = access.at(static_cast<std::size_t>(flags & O_ACCMODE));
  if ((flags & O_CREAT) != 0) text += "|O_CREAT";
  if ((flags & O_EXCL) != 0) text += "|O_EXCL";
  if ((flags & O_TRUNC) != 0) text += "|O_TRUNC";
  if ((flags & O_APPEND) != 0) text += "|O_APPEND";
  return text;
}

// A shared mapping. Its pages are copied by read and write on a file in memory: they answer EFAULT for a page
// that cannot be had, where an access of our own would be a SIGBUS.
class SharedMapping {
 public:
  SharedMapping(int file, std::size_t length, int protection, std::uint64_t offset)
      : length_(length),
        memory_(mmap(nullptr, length, protection, MAP_SHARED, file, static_cast<off_t>(offset))),
        error_(errno) {}
  ~SharedMapping() {
    if (mapped()) munmap(memory_, length_);
  }
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  [[nodiscard]] bool mapped() const { return memory_ != MAP_FAILED; }
  // 0, or -1 with errno.
  [[nodiscard]] long result() const {
    errno = error_;
    return mapped() ? 0 : -1;
  }
  [[nodiscard]] long read(std::string& into) const {
    const FileDescriptor between(memfd_create("mapping", MFD_CLOEXEC));
    const auto copied = pwrite(between.get(), memory_, into.size(), 0);
    return copied < 0 ? copied : pread(between.get(), into.data(), into.size(), 0);
  }
  [[nodiscard]] long write(const std::string& content, std::size_t at) const {
    const FileDescriptor between(memfd_create("mapping", MFD_CLOEXEC));
    const auto copied = pwrite(between.get(), content.data(), content.size(), 0);
    return copied < 0 ? copied : pread(between.get(), static_cast<char*>(memory_) + at, content.size(), 0);
  }
  [[nodiscard]] long sync(int flags) const { return msync(memory_, length_, flags); }

 private:
  std::size_t length_;
  void* memory_;
  int error_;
};

}  // namespace

std::string FileExerciser::OpenFile::describe() const {
  return fmt::format("#{} ({})", number, name);
}

void FileExerciser::open_file() {
  if (open_.size() >= most_open) return close_file();
  const std::array access = {O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};
  int flags = access[below(access.size())];
  const bool create = one_in(3);
  const std::string name = create ? (one_in(3) ? any_name() : new_name("f")) : any_name();
  if (create) flags |= O_CREAT;
  if (create && one_in(2)) flags |= O_EXCL;
  if ((flags & O_ACCMODE) != O_RDONLY && one_in(10)) flags |= O_TRUNC;
  if (one_in(6)) flags |= O_APPEND;
  const mode_t mode = one_in(2) ? 0600 : 0640;
  OpenFile file{.number = next_number_++, .name = name, .flags = flags};
  note(fmt::format("open {} {}", file.describe(), open_flags_text(flags)));
  if (create) names_changed_ = true;
  // Two owners, not two numbers: agree() may throw.
  const Outcome subject = outcome_of([&] {
    file.subject = FileDescriptor(open((subject_root_ + name).c_str(), flags | O_CLOEXEC, mode));
    return file.subject ? 0L : -1L;
  });
  const Outcome model = outcome_of([&] {
    file.model = FileDescriptor(open((model_root_ + name).c_str(), flags | O_CLOEXEC, mode));
    return file.model ? 0L : -1L;
  });
  if (agree(subject, model).value == 0) finish_open(std::move(file));
  check_name(name);
}

// A folder, that could only be opened to be read, is synced, as PostgreSQL does, and that is all.
void FileExerciser::finish_open(OpenFile file) {
  check_open(file);
  struct stat status;
  if (fstat(file.model.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    open_.push_back(std::move(file));
    return;
  }
  note(fmt::format("fsync {}, a folder", file.describe()));
  on_both(file, [](int descriptor) { return fsync(descriptor); });
}

void FileExerciser::close_file() {
  OpenFile* const file = any_open();
  if (file == nullptr) return;
  note("close " + file->describe());
  const int subject = file->subject.release();
  const int model = file->model.release();
  std::swap(*file, open_.back());
  open_.pop_back();
  const Outcome here = outcome_of([&] { return close(subject); });
  agree(here, outcome_of([&] { return close(model); }));
}

void FileExerciser::read_file() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const Range range = any_range(size_of(*file));
  note(fmt::format("pread {}, {} at {}", file->describe(), range.length, range.offset));
  std::string here(range.length, '\0');
  std::string there(range.length, '\0');
  const auto read_into = [&](const FileDescriptor& from, std::string& into) {
    return outcome_of(
        [&] { return pread(from.get(), into.data(), into.size(), static_cast<off_t>(range.offset)); });
  };
  const Outcome subject = read_into(file->subject, here);
  agree(subject, read_into(file->model, there));
  check_bytes(here, there, range.offset);
}

void FileExerciser::write_file() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const Range range = any_range(size_of(*file));
  const std::string content = any_content(range.length);
  note(fmt::format("pwrite {}, {} at {}", file->describe(), range.length, range.offset));
  on_both(*file, [&](int descriptor) {
    return pwrite(descriptor, content.data(), content.size(), static_cast<off_t>(range.offset));
  });
  check_open(*file);
}

void FileExerciser::append() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const std::string content = any_content(any_range(0).length);
  note(fmt::format("append {} to {}", content.size(), file->describe()));
  // With O_APPEND it does not matter where the offset is; where it is afterwards, does.
  if ((file->flags & O_APPEND) == 0) {
    const auto end = [](int descriptor) { return lseek(descriptor, 0, SEEK_END); };
    on_both(*file, end);
  }
  on_both(*file, [&](int descriptor) { return write(descriptor, content.data(), content.size()); });
  on_both(*file, [](int descriptor) { return lseek(descriptor, 0, SEEK_CUR); });
  check_open(*file);
}

void FileExerciser::resize() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const auto size = static_cast<off_t>(any_size(size_of(*file)));
  note(fmt::format("ftruncate {} to {}", file->describe(), size));
  on_both(*file, [&](int descriptor) { return ftruncate(descriptor, size); });
  check_open(*file);
}

void FileExerciser::resize_by_name() {
  const std::string name = any_name();
  const auto size = static_cast<off_t>(any_size(below(300'000)));
  note(fmt::format("truncate {} to {}", name, size));
  on_both([&](const std::string& root) { return truncate((root + name).c_str(), size); });
  check_name(name);
}

void FileExerciser::sync() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const bool data_only = one_in(2);
  note(fmt::format("{} {}", data_only ? "fdatasync" : "fsync", file->describe()));
  on_both(*file, [&](int descriptor) { return data_only ? fdatasync(descriptor) : fsync(descriptor); });
  check_open(*file);
}

void FileExerciser::sync_range() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const Range range = any_range(size_of(*file));
  const unsigned flags = SYNC_FILE_RANGE_WRITE | (one_in(2) ? SYNC_FILE_RANGE_WAIT_AFTER : 0U);
  note(fmt::format("sync_file_range {}, {} at {}", file->describe(), range.length, range.offset));
  on_both(*file, [&](int descriptor) {
    return sync_file_range(descriptor, static_cast<off64_t>(range.offset), static_cast<off64_t>(range.length),
                           flags);
  });
}

// What the subject does not offer is left alone. posix_fallocate would write zeros instead, and answer
// otherwise than the real thing for some descriptors.
void FileExerciser::allocate() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const Range range = any_range(size_of(*file));
  const std::array modes = {0, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
  const int mode = modes[below(modes.size())];
  note(fmt::format("fallocate {} mode {}, {} at {}", file->describe(), mode, range.length, range.offset));
  const auto call = [&](int descriptor) {
    return fallocate(descriptor, mode, static_cast<off_t>(range.offset), static_cast<off_t>(range.length));
  };
  const Outcome subject = outcome_of([&] { return call(file->subject.get()); });
  if (subject.error == EOPNOTSUPP) return note("  not offered");
  agree(subject, outcome_of([&] { return call(file->model.get()); }));
  check_open(*file);
}

void FileExerciser::map_read() {
  map(false);
}

void FileExerciser::map_write() {
  map(true);
}

// Whole pages, what follows the end in the last of them included: it has to be zeros. Written is only what is
// in the file.
void FileExerciser::map(bool writing) {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const std::uint64_t size = size_of(*file);
  if (size == 0) return read_file();
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t offset = below(size) / page * page;
  const std::size_t inside = 1 + below(std::min(size - offset, longest_mapping));
  const std::size_t length = (inside + page - 1) / page * page;
  const int protection = writing ? PROT_READ | PROT_WRITE : PROT_READ;
  note(fmt::format("map {} to {}, {} at {}", file->describe(), writing ? "write" : "read", inside, offset));
  const SharedMapping here(file->subject.get(), length, protection, offset);
  const SharedMapping there(file->model.get(), length, protection, offset);
  const auto both = [&](auto&& call) {
    const Outcome subject = outcome_of([&] { return call(here); });
    return agree(subject, outcome_of([&] { return call(there); }));
  };
  if (both([](const SharedMapping& mapping) { return mapping.result(); }).value < 0) return;
  if (writing) {
    const std::size_t at = below(inside);
    const std::string content = any_content(inside - at);
    both([&](const SharedMapping& mapping) { return mapping.write(content, at); });
    if (one_in(2)) both([](const SharedMapping& mapping) { return mapping.sync(MS_SYNC); });
    if (one_in(4)) both([](const SharedMapping& mapping) { return mapping.sync(MS_ASYNC); });
  }
  std::string seen_here(length, '\0');
  std::string seen_there(length, '\0');
  const Outcome subject = outcome_of([&] { return here.read(seen_here); });
  agree(subject, outcome_of([&] { return there.read(seen_there); }));
  check_bytes(seen_here, seen_there, offset);
  check_open(*file);
}

void FileExerciser::stat_open() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  note("fstat " + file->describe());
  struct stat status;
  on_both(*file, [&](int descriptor) { return fstat(descriptor, &status); });
  check_open(*file);
}

void FileExerciser::change_mode_of_open() {
  const OpenFile* const file = any_open();
  if (file == nullptr) return;
  const std::array<mode_t, 4> modes = {0600, 0640, 0644, 0400};
  const mode_t mode = modes[below(modes.size())];
  note(fmt::format("fchmod {} to {:04o}", file->describe(), mode));
  on_both(*file, [&](int descriptor) { return fchmod(descriptor, mode); });
  check_open(*file);
}

}  // namespace pgstrata::testing
