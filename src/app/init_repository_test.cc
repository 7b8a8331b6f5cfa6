#include "app/init_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

TEST(InitRepository, KeepsTheKeyOutOfTheRepository) {
  const TemporaryDirectory directory = TemporaryDirectory::create("pgstrata-init-").value();
  const std::string folder = directory.path() / "repository";
  for (const std::string& location : {folder, folder + "/", folder + "/.", folder + "//"}) {
    InitRequest request;
    request.location = location;
    request.key.key_file = folder + "/key";
    const auto made = init_repository(request, system_clock());
    ASSERT_FALSE(made) << location;
    EXPECT_EQ(made.error().code(), ErrorCode::usage) << location;
    EXPECT_THAT(made.error().message(), ::testing::HasSubstr("would lie in the repository")) << location;
    EXPECT_FALSE(file_exists(folder).value()) << location;
  }
}

TEST(InitRepository, MakesNoneWithinAnother) {
  const TemporaryDirectory directory = TemporaryDirectory::create("pgstrata-init-").value();
  const auto outer = directory.path() / "repository";
  InitRequest request;
  request.location = outer;
  request.key.no_encryption = true;
  ASSERT_TRUE(init_repository(request, system_clock()));
  std::filesystem::create_directory_symlink(outer, directory.path() / "link");
  for (const auto& inner : {outer / "in", outer / "clusters" / "in", directory.path() / "link" / "in"}) {
    request.location = inner;
    const auto made = init_repository(request, system_clock());
    ASSERT_FALSE(made) << inner;
    EXPECT_EQ(made.error().code(), ErrorCode::usage) << inner;
    EXPECT_THAT(made.error().message(), ::testing::HasSubstr("lies within the repository")) << inner;
    EXPECT_FALSE(file_exists(inner).value()) << inner;
  }
  request.location = outer;
  EXPECT_EQ(init_repository(request, system_clock()).error().code(), ErrorCode::already_exists);
}

TEST(InitRepository, TakesALocationThatEndsWithASlash) {
  const TemporaryDirectory directory = TemporaryDirectory::create("pgstrata-init-").value();
  InitRequest request;
  request.location = (directory.path() / "repository").native() + "/";
  request.key.key_file = directory.path() / "key";
  const auto made = init_repository(request, system_clock());
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ(made->location, (directory.path() / "repository").native());
}

}  // namespace
}  // namespace pgstrata
