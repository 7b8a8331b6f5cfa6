#include "sys/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

class Files : public testing::Test {
 protected:
  std::filesystem::path at(std::string_view name) const { return directory_.path() / name; }
  void write(std::string_view name, std::string_view content) {
    const auto written = write_file(at(name), as_byte_view(content));
    ASSERT_TRUE(written) << written.error().describe();
  }
  std::string text(std::string_view name) const { return std::string(as_text(read_file(at(name)).value())); }

  TemporaryDirectory directory_ = TemporaryDirectory::create("pgstrata-files-").value();
};

TEST_F(Files, ReadsAndWritesAtOffsets) {
  const auto file = open_file(at("f"), O_RDWR | O_CREAT | O_EXCL).value();
  ASSERT_TRUE(write_all_at(file, 10, as_byte_view("hello")));
  Bytes into(5);
  ASSERT_TRUE(read_exactly(file, 10, into));
  EXPECT_EQ(as_text(into), "hello");
  EXPECT_EQ(read_at_most(file, 12, into).value(), 3U);
  EXPECT_EQ(read_at_most(file, 100, into).value(), 0U);
  const auto short_read = read_exactly(file, 12, into);
  EXPECT_EQ(short_read.error().code(), ErrorCode::damaged);
  EXPECT_THAT(short_read.error().message(), testing::HasSubstr(at("f").native()));
  EXPECT_EQ(stat_file(file).value().size_bytes, 15U);
  EXPECT_EQ(stat_extent(file).value().size_bytes, 15U);
  EXPECT_EQ(stat_extent(file).value().links, 1U);
}

TEST_F(Files, ErrorsNameThePathAndTheReason) {
  const auto missing = open_file(at("missing"), O_RDONLY);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().message(), testing::HasSubstr(at("missing").native()));
  write("there", "x");
  EXPECT_EQ(open_file(at("there"), O_RDWR | O_CREAT | O_EXCL).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(remove_file(at("missing")).error().code(), ErrorCode::not_found);
  const auto read_only = open_file(at("there"), O_RDONLY).value();
  EXPECT_FALSE(write_all(read_only, as_byte_view("x")));
}

TEST_F(Files, DescriptorsAreNotInherited) {
  write("f", "x");
  const auto file = open_file(at("f"), O_RDONLY).value();
  EXPECT_NE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Files, ADescriptorIsClosedOnce) {
  write("f", "x");
  FileDescriptor file = open_file(at("f"), O_RDONLY).value();
  const int number = file.get();
  FileDescriptor moved = std::move(file);
  EXPECT_EQ(moved.get(), number);
  EXPECT_EQ(::fcntl(number, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  moved.close();
  EXPECT_FALSE(moved);
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST_F(Files, ReadFileTakesAnySizeUpToItsLimit) {
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 100'000}) {
    write("f", std::string(size, 'x'));
    EXPECT_EQ(text("f").size(), size);
    EXPECT_TRUE(read_file(at("f"), size)) << size;
    if (size == 0) continue;
    EXPECT_EQ(read_file(at("f"), size - 1).error().code(), ErrorCode::failed);
  }
  EXPECT_FALSE(read_file("/proc/self/stat").value().empty()) << "a file whose size the kernel does not say";
}

TEST_F(Files, ListsInByteOrder) {
  for (const char* const name : {"b", "a", "B", "a.b", "a-b", "ab"}) write(name, "x");
  ASSERT_TRUE(make_directories(at("a0")));
  ASSERT_EQ(::symlink("b", at("link").c_str()), 0);
  std::vector<std::string> names;
  const auto entries = list_directory(directory_.path()).value();
  for (const auto& entry : entries) {
    names.push_back(entry.name);
    const FileType expected = entry.name == "a0"     ? FileType::directory
                              : entry.name == "link" ? FileType::symbolic_link
                                                     : FileType::regular;
    EXPECT_EQ(entry.kind, expected) << entry.name;
  }
  EXPECT_THAT(names, testing::ElementsAre("B", "a", "a-b", "a.b", "a0", "ab", "b", "link"));
  EXPECT_EQ(list_directory(at("missing")).error().code(), ErrorCode::not_found);
}

TEST_F(Files, MakesFoldersWithParents) {
  ASSERT_TRUE(make_directories(at("x/y/z")));
  ASSERT_TRUE(make_directories(at("x/y/z")));
  EXPECT_EQ(stat_file(at("x/y")).value().permissions, 0700U);
  write("file", "x");
  EXPECT_FALSE(make_directories(at("file")));
  EXPECT_FALSE(make_directories(at("file/below")));
}

TEST_F(Files, RenameToNewRefusesATakenName) {
  write("from", "new");
  write("to", "old");
  EXPECT_EQ(rename_file_to_new(at("from"), at("to")).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(text("to"), "old");
  EXPECT_EQ(text("from"), "new");
  ASSERT_TRUE(rename_file_to_new(at("from"), at("other")));
  EXPECT_EQ(text("other"), "new");
  EXPECT_FALSE(file_exists(at("from")).value());
  ASSERT_TRUE(rename_file(at("other"), at("to")));
  EXPECT_EQ(text("to"), "new");
}

TEST_F(Files, CopiesContentAndMode) {
  std::string content(3'000'000, 'x');
  content += "end";
  write("from", content);
  ASSERT_EQ(::chmod(at("from").c_str(), 0640), 0);
  ASSERT_TRUE(duplicate_file(at("from"), at("to")));
  EXPECT_EQ(text("to"), content);
  EXPECT_EQ(stat_file(at("to")).value().permissions, 0640U);
  EXPECT_EQ(duplicate_file(at("from"), at("to")).error().code(), ErrorCode::already_exists);
  ASSERT_TRUE(duplicate_file("/proc/self/cmdline", at("proc")))
      << "a file whose size the kernel does not say";
  EXPECT_FALSE(text("proc").empty());
}

TEST_F(Files, ResizesWithoutTakingSpace) {
  const auto file = open_file(at("f"), O_RDWR | O_CREAT).value();
  ASSERT_TRUE(resize_file(file, 1 << 20));
  EXPECT_EQ(stat_file(file).value().size_bytes, 1U << 20);
  EXPECT_EQ(stat_file(file).value().allocated_bytes, 0U);
}

TEST_F(Files, RemovesTreesAndKnowsTheFreeSpace) {
  ASSERT_TRUE(make_directories(at("x/y")));
  write("x/y/f", "x");
  ASSERT_TRUE(remove_tree(at("x")));
  ASSERT_TRUE(remove_tree(at("x")));
  EXPECT_FALSE(file_exists(at("x")).value());
  EXPECT_GT(free_space_bytes(directory_.path()).value(), 0U);
  EXPECT_EQ(free_space_bytes(at("x")).error().code(), ErrorCode::not_found);
}

TEST(TemporaryDirectory, GoesWithItsContentUnlessKept) {
  std::filesystem::path path;
  {
    auto directory = TemporaryDirectory::create("pgstrata-test-").value();
    path = directory.path();
    ASSERT_TRUE(write_file(path / "f", as_byte_view("x")));
    TemporaryDirectory moved = std::move(directory);
    EXPECT_TRUE(file_exists(path).value());
  }
  EXPECT_FALSE(file_exists(path).value());
  {
    auto directory = TemporaryDirectory::create("pgstrata-test-").value();
    path = directory.path();
    directory.keep();
  }
  EXPECT_TRUE(file_exists(path).value());
  ASSERT_TRUE(remove_tree(path));
  EXPECT_FALSE(TemporaryDirectory::create("x", path));
}

TEST(RemoveTree, TakesAwayWhatIsDeeperThanDescriptorsAndPathsReach) {
  const TemporaryDirectory directory = TemporaryDirectory::create("pgstrata-files-test-").value();
  const auto top = directory.path() / "top";
  ASSERT_TRUE(make_directories(top));
  const std::string name(200, 'd');
  int folder = ::open(top.c_str(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 700; ++depth) {
    ASSERT_EQ(::mkdirat(folder, name.c_str(), 0700), 0);
    ASSERT_EQ(::mkdirat(folder, "beside", 0700), 0);
    ASSERT_EQ(::symlinkat("/", folder, "link"), 0);
    const int below = ::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY);
    ::close(folder);
    folder = below;
  }
  ::close(folder);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{200, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  const auto removed = remove_tree(top);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(removed) << removed.error().describe();
  EXPECT_FALSE(file_exists(top).value());
  EXPECT_TRUE(file_exists("/tmp").value());
}

TEST(ReadRegularFile, WaitsForNoFifo) {
  const TemporaryDirectory directory = TemporaryDirectory::create("pgstrata-files-test-").value();
  const auto fifo = directory.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ASSERT_EQ(::symlink(fifo.c_str(), (directory.path() / "link").c_str()), 0);
  for (const auto* name : {"fifo", "link"})
    EXPECT_EQ(read_regular_file(directory.path() / name, 10).error().code(), ErrorCode::failed);
}

}  // namespace
}  // namespace pgstrata
