// The exerciser and fio, tried on plain directories; and whether they find fault when there is some.
#include "support/file_exerciser.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child_process.h"
#include "support/file_tree.h"
#include "support/fio_verify.h"
#include "support/test_failure.h"
#include "support/test_seed.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// In a place that is given, not in $TMPDIR: the two are to be of two file systems.
class DirectoryIn {
 public:
  explicit DirectoryIn(const std::string& parent) : path_(parent + "/pgs.XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw TestFailure("mkdtemp in " + parent);
  }
  ~DirectoryIn() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  DirectoryIn(const DirectoryIn&) = delete;
  DirectoryIn& operator=(const DirectoryIn&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct EqualDirectories {
  explicit EqualDirectories(std::uint64_t seed, const std::string& parent_of_subject = "/dev/shm")
      : subject(parent_of_subject) {
    make_varied_tree(subject.path(), seed);
    make_varied_tree(model.path(), seed);
  }
  [[nodiscard]] FileExerciserOptions options(std::uint64_t seed) const {
    return {.subject = subject.path(), .model = model.path(), .seed = seed};
  }

  DirectoryIn subject;
  DirectoryIn model{"/dev/shm"};
};

// What it says.
std::string failure_of(FileExerciserOptions options) {
  try {
    FileExerciser(std::move(options)).run();
  } catch (const TestFailure& failure) {
    return failure.what();
  }
  return "it did not fail";
}

bool anything_open_in(const std::string& directory) {
  for (const auto& descriptor : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(descriptor, gone).string().starts_with(directory)) return true;
  }
  return false;
}

TEST(FileExerciser, FindsTwoFileSystemsEqualWithEveryKindOfOperation) {
  const std::uint64_t first_seed = test_seed(20261130);
  std::map<std::string, int> successes;
  int remounts = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 4; ++seed) {
    const EqualDirectories directories(seed, "/var/tmp");
    auto options = directories.options(seed);
    options.operations = 1'500;
    options.remount_every = 1'000;
    options.remount = [&] {
      ++remounts;
      EXPECT_FALSE(anything_open_in(directories.subject.path()));
    };
    FileExerciser exerciser(options);
    exerciser.run();
    EXPECT_FALSE(anything_open_in(directories.model.path()));
    for (const auto& [operation, count] : exerciser.successes()) successes[operation] += count;
  }
  EXPECT_THAT(successes, Each(Pair(::testing::_, Gt(0))));
  EXPECT_EQ(remounts, 4);
}

TEST(FileExerciser, LeavesOutWhatItIsTold) {
  const EqualDirectories directories(1);
  auto options = directories.options(1);
  options.operations = 300;
  options.without = {"link", "map_read", "map_write"};
  FileExerciser exerciser(options);
  exerciser.run();
  EXPECT_FALSE(exerciser.successes().contains("link"));
  options.without = {"lnik"};
  EXPECT_THROW(FileExerciser{options}, TestFailure);
}

// A change that only a comparison of everything can see.
TEST(FileExerciser, SaysWhatDiffersAndHowToHaveItAgain) {
  const auto run = [](int operations) {
    const EqualDirectories directories(2);
    auto options = directories.options(77);
    options.operations = operations;
    options.remount_every = 120;
    options.remount = [&] { std::ofstream(directories.model.path() + "/base/behind_its_back") << "x"; };
    return failure_of(options);
  };
  const std::string failure = run(200);
  EXPECT_THAT(failure, AllOf(HasSubstr("base/behind_its_back: nothing; in the model file 0"),
                             HasSubstr("seed 77, operation 120 of 200"),
                             HasSubstr("\n  120: sync and close all"), ContainsRegex("\n  10[0-9]: [a-z]")));
  EXPECT_EQ(run(200), failure);
  EXPECT_EQ(run(100), "it did not fail");
}

// The operations themselves have to notice, not only the comparison at the end.
class FileExerciserNotices : public ::testing::Test {
 protected:
  // What is said when something happens to every file and folder of the subject, again and again.
  static std::string failure_when(const std::function<void(const std::string& path, bool folder)>& tamper) {
    const EqualDirectories directories(3);
    auto options = directories.options(3);
    options.operations = 20'000;
    options.whole_compare_every = options.operations;
    std::atomic<bool> ended = false;
    // Not before the first operation that leaves a trace: the two are compared before.
    const auto untouched = std::filesystem::last_write_time(directories.model.path());
    std::thread other([&] {
      while (!ended && std::filesystem::last_write_time(directories.model.path()) == untouched)
        std::this_thread::yield();
      while (!ended) {
        std::error_code gone;
        std::filesystem::recursive_directory_iterator entry(directories.subject.path(), gone);
        for (; entry != std::filesystem::recursive_directory_iterator(); entry.increment(gone))
          if (!entry->is_symlink(gone)) tamper(entry->path(), entry->is_directory(gone));
      }
    });
    const std::string failure = failure_of(options);
    ended = true;
    other.join();
    return failure;
  }
};

TEST_F(FileExerciserNotices, OtherBytes) {
  const auto failure = failure_when([](const std::string& path, bool folder) {
    const FileDescriptor file(folder ? -1 : open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat status;
    if (file && fstat(file.get(), &status) == 0)
      for (off_t at = 0; at < status.st_size; at += 4096)
        if (pwrite(file.get(), "?", 1, at) < 0) return;
  });
  EXPECT_THAT(failure, AllOf(HasSubstr(" differ, the first at "), Not(HasSubstr("the trees"))));
}

TEST_F(FileExerciserNotices, OtherSizes) {
  const auto failure = failure_when([](const std::string& path, bool folder) {
    if (!folder && truncate(path.c_str(), 77) != 0) return;
  });
  EXPECT_THAT(failure, AllOf(HasSubstr("here, "), Not(HasSubstr("the trees"))));
}

TEST_F(FileExerciserNotices, OtherModes) {
  const auto failure = failure_when([](const std::string& path, bool) {
    if (chmod(path.c_str(), 0711) != 0) return;
  });
  EXPECT_THAT(failure, AllOf(HasSubstr(" 0711"), Not(HasSubstr("the trees"))));
}

TEST_F(FileExerciserNotices, OtherNames) {
  const auto failure = failure_when([](const std::string& path, bool folder) {
    if (folder) std::ofstream(path + "/more").flush();
  });
  EXPECT_THAT(failure, AllOf(HasSubstr("only here [more (file)]"), Not(HasSubstr("the trees"))));
}

class TreeDifferences : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> differences() const {
    return tree_differences(directories_.subject.path(), directories_.model.path());
  }
  [[nodiscard]] std::string here(const std::string& name) const {
    return directories_.subject.path() + "/" + name;
  }
  [[nodiscard]] std::string there(const std::string& name) const {
    return directories_.model.path() + "/" + name;
  }

  EqualDirectories directories_{4};
};

TEST_F(TreeDifferences, NoneBetweenEqualTrees) {
  EXPECT_THAT(differences(), IsEmpty());
}

TEST_F(TreeDifferences, OneByte) {
  std::fstream(here("base/5/3145745")).seekp(2'000'000) << "x" << std::flush;
  EXPECT_THAT(differences(),
              ElementsAre(AllOf(HasSubstr("base/5/3145745: 1 of "), HasSubstr("the first at 2000000"))));
}

TEST_F(TreeDifferences, WhichNamesAreOfOneFile) {
  for (const auto& name : {here("a"), here("b"), there("a"), there("b")}) std::ofstream(name) << "the same";
  std::filesystem::create_hard_link(here("a"), here("c"));
  std::filesystem::create_hard_link(here("b"), here("d"));
  std::filesystem::create_hard_link(there("b"), there("c"));
  std::filesystem::create_hard_link(there("a"), there("d"));
  EXPECT_THAT(differences(),
              ElementsAre(AllOf(HasSubstr("c: "), HasSubstr("the same as a; "), EndsWith("as b")),
                          AllOf(HasSubstr("d: "), HasSubstr("the same as b; "), EndsWith("as a"))));
}

TEST_F(TreeDifferences, WhatALinkSays) {
  std::filesystem::create_symlink("a", here("link"));
  std::filesystem::create_symlink("b", there("link"));
  EXPECT_THAT(differences(), ElementsAre(AllOf(HasSubstr("to \"a\""), HasSubstr("to \"b\""))));
}

TEST(FioVerify, PassesOnAPlainDirectory) {
  const TemporaryDirectory directory;
  int calls = 0;
  const FioVerdict verdict = run_fio_verify(directory.path(), [&] { ++calls; });
  EXPECT_TRUE(verdict.passed) << verdict.output;
  EXPECT_EQ(calls, 1);
}

TEST(FioVerify, FindsAChangedByte) {
  const TemporaryDirectory directory;
  const FioVerdict verdict = run_fio_verify(directory.path(), [&] {
    std::fstream(directory.path() / "randwrite_128k.0.0").seekp((3 << 20) + 5'000) << "?" << std::flush;
  });
  ASSERT_TRUE(std::filesystem::exists(directory.path() / "randwrite_128k.0.0"));
  EXPECT_FALSE(verdict.passed);
  EXPECT_THAT(verdict.output, HasSubstr("verify"));
}

}  // namespace
}  // namespace pgstrata::testing
