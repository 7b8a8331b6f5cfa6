#include "app/key_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "sys/temporary_directory.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class KeyChoiceTest : public ::testing::Test {
 protected:
  std::filesystem::path file(std::string_view content) {
    const auto path = directory_.path() / "key";
    EXPECT_TRUE(write_file(path, as_byte_view(content)).has_value());
    return path;
  }
  TemporaryDirectory directory_ = TemporaryDirectory::create("key").value();
};

TEST_F(KeyChoiceTest, LineEndsAfterTheSecretDoNotCount) {
  const std::string secret(64, 'k');
  for (const char* end : {"", "\n", "\r\n", "\n\n"}) {
    EXPECT_EQ(read_key_file(file(secret + end)).value().secret, to_bytes(secret));
  }
  // A binary secret of 32 bytes may end in one.
  const std::string binary = std::string(31, 'k') + "\n";
  EXPECT_EQ(read_key_file(file(binary)).value().secret, to_bytes(binary));
}

TEST_F(KeyChoiceTest, RefusesShortAndMissingFiles) {
  EXPECT_EQ(read_key_file(file(std::string(31, 'k'))).error().code(), ErrorCode::usage);
  const auto missing = read_key_file(directory_.path() / "missing");
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_FALSE(missing.error().hint().empty());
}

// Where a repository is opened, a new key would never do.
TEST_F(KeyChoiceTest, AShortFileIsToBeBroughtBackUnlessItIsForANewSlot) {
  const KeyChoice choice{.key_file = file("")};
  const auto opening = read_key(choice);
  const auto new_slot = read_or_generate_key(choice);
  ASSERT_FALSE(opening.has_value() || new_slot.has_value());
  EXPECT_THAT(opening.error().hint(), HasSubstr("back from your copy"));
  EXPECT_THAT(opening.error().hint(), Not(HasSubstr("random")));
  EXPECT_EQ(new_slot.error().describe(), opening.error().describe());
  EXPECT_THAT(new_slot.error().hint(), HasSubstr("Any 32 random bytes"));
}

TEST_F(KeyChoiceTest, GeneratesAFileOfItsOwnThatReadsBack) {
  const auto path = directory_.path() / "new";
  const auto made = generate_key_file(path);
  ASSERT_TRUE(made.has_value()) << made.error().describe();
  EXPECT_EQ(made->secret.size(), 64U);
  EXPECT_EQ(stat_file(path).value().permissions, 0600U);
  EXPECT_EQ(read_key_file(path).value().secret, made->secret);
  EXPECT_EQ(generate_key_file(path).error().code(), ErrorCode::already_exists);
  EXPECT_EQ(read_key_file(path).value().secret, made->secret);
  EXPECT_NE(generate_key_file(directory_.path() / "another").value().secret, made->secret);
}

TEST_F(KeyChoiceTest, GeneratesOnlyWhatIsMissing) {
  const KeyChoice choice{.key_file = directory_.path() / "once"};
  const auto first = read_or_generate_key(choice);
  const auto second = read_or_generate_key(choice);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_TRUE(first->generated);
  EXPECT_FALSE(second->generated);
  EXPECT_EQ(std::get<KeyFile>(first->source).secret, std::get<KeyFile>(second->source).secret);
  EXPECT_FALSE(read_or_generate_key({.passphrase = "words"}).value().generated);
}

}  // namespace
}  // namespace pgstrata
