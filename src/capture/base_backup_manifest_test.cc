// The server's manifest against what came: one file that is not as it says, and there is no snapshot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/replayed_backup_for_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class BaseBackupManifestTest : public ReplayedBackupTest {
 protected:
  // That it ends in check_failed, nothing is to be seen of it, and the next backup works. What it said.
  std::string refused(const Change& change) {
    const auto made = back_up(change);
    EXPECT_EQ(code_of(made), "check_failed") << message_of(made);
    EXPECT_THAT(must(space_.list("snapshots/")), IsEmpty());
    const std::string message = message_of(made);
    EXPECT_TRUE(back_up([](ReplayedBackup&) {}));
    EXPECT_THAT(must(list_snapshots(space_)).snapshots, SizeIs(1));
    return message;
  }
};

TEST_F(BaseBackupManifestTest, AFileWithAChangedByteIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.sent.at("base/5/16384").at(200'000) ^= std::byte{1}; }),
              AllOf(HasSubstr("base/5/16384"), HasSubstr("other bytes")));
}

TEST_F(BaseBackupManifestTest, AFileOfAnotherSizeIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.sent.at("base/5/16384").resize(100'000); }),
              AllOf(HasSubstr("base/5/16384"), HasSubstr("another size")));
}

TEST_F(BaseBackupManifestTest, AnEmptyFileThatIsNotIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.sent.at("base/5/1259").clear(); }),
              AllOf(HasSubstr("base/5/1259"), HasSubstr("another size")));
}

TEST_F(BaseBackupManifestTest, AFileThatWasNotSentIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.sent.erase("base/5/empty"); }),
              AllOf(HasSubstr("base/5/empty"), HasSubstr("was not sent")));
}

TEST_F(BaseBackupManifestTest, AFileThatIsNotListedIsRefused) {
  EXPECT_THAT(refused([](auto& source) { source.sent["base/5/stray"] = noise(100, 9); }),
              AllOf(HasSubstr("sent 9 files"), HasSubstr("lists 8")));
}

}  // namespace
}  // namespace pgstrata::testing
