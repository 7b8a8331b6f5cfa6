// The store on a server that the environment names, of whatever make (docs/testing.md). Conformance is instantiated only
// where one is named; the tests below are skipped elsewhere.
//
//   PGSTRATA_TEST_S3_ENDPOINT     http:// or https://, as in endpoint=
//   PGSTRATA_TEST_S3_ACCESS_KEY
//   PGSTRATA_TEST_S3_SECRET_KEY
//   PGSTRATA_TEST_S3_REGION       else us-east-1
//   PGSTRATA_TEST_S3_BUCKET       one that is there, else pgstrata-test; each test takes a prefix of its own in it, and
//                                 removes what is below it
#include "codec/digest.h"
#include "codec/secret.h"
#include "storage/conformance.h"
#include "storage/s3/s3_test_support.h"

namespace pgstrata {
namespace {

std::string setting(const char* name, const std::string& otherwise = {}) {
  return process_environment(std::string("PGSTRATA_TEST_S3_") + name).value_or(otherwise);
}

bool other_server_is_named() {
  return !setting("ENDPOINT").empty();
}

S3ClientOptions other_server_options() {
  S3ClientOptions options = test_options({setting("ACCESS_KEY"), setting("SECRET_KEY")});
  options.patience = std::chrono::seconds(30);
  return options;
}

class OtherServerHarness {
 public:
  OtherServerHarness() {
    place_.bucket = setting("BUCKET", "pgstrata-test");
    place_.prefix = "pgs trata-" + to_hex(random_bytes(8)) + "/app";
    place_.endpoint = setting("ENDPOINT");
    place_.region = setting("REGION", "us-east-1");
    store_ = opened(S3Store::open_or_make(place_, other_server_options()));
    other_ = opened(S3Store::open(place_, other_server_options()));
  }
  ~OtherServerHarness() {
    const auto client = S3Client::create(place_, other_server_options(), system_clock());
    while (client) {
      const auto page = (*client)->list(place_.prefix + "/", "", 1000);
      if (!page || page->objects.empty()) break;
      for (const ObjectInfo& info : page->objects) {
        if (!(*client)->remove(info.name)) return;
      }
    }
  }
  OtherServerHarness(const OtherServerHarness&) = delete;
  OtherServerHarness& operator=(const OtherServerHarness&) = delete;

  ObjectStore& store() { return *store_; }
  ObjectStore& other() { return *other_; }

 private:
  static std::unique_ptr<ObjectStore> opened(Result<std::unique_ptr<S3Store>> store) {
    if (!store) throw std::runtime_error(store.error().describe());
    return *std::move(store);
  }

  S3Location place_;
  std::unique_ptr<ObjectStore> store_;
  std::unique_ptr<ObjectStore> other_;
};

bool instantiate_if_named() {
  if (!other_server_is_named()) return false;
  INSTANTIATE_TYPED_TEST_SUITE_P(S3OtherServer, ObjectStoreConformance, OtherServerHarness);
  return true;
}
[[maybe_unused]] const bool instantiated = instantiate_if_named();

class S3OtherServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!other_server_is_named()) GTEST_SKIP() << "PGSTRATA_TEST_S3_ENDPOINT names no server";
    harness_.emplace();
  }
  ObjectStore& store() { return harness_->store(); }
  ObjectStore& other() { return harness_->other(); }

 private:
  std::optional<OtherServerHarness> harness_;
};

TEST_F(S3OtherServerTest, ReplaceComparesWithAndWithoutConditionalWrites) {
  std::cout << "conditional writes: " << store().capabilities().conditional_writes << '\n';
  EXPECT_EQ(other().capabilities().conditional_writes, store().capabilities().conditional_writes);
  const auto first = store().replace("lease", std::nullopt, as_byte_view("1"));
  ASSERT_TRUE(first) << first.error().describe();
  EXPECT_FALSE(other().replace("lease", std::nullopt, as_byte_view("x")));
  const auto second = other().replace("lease", *first, as_byte_view("2"));
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(store().replace("lease", *first, as_byte_view("x")).error().code(), ErrorCode::busy);
  const auto seen = store().get_versioned("lease");
  ASSERT_TRUE(seen) << seen.error().describe();
  EXPECT_EQ(seen->version, *second);
  EXPECT_EQ(as_text(seen->content), "2");
}

TEST_F(S3OtherServerTest, ListsMoreThanAPage) {
  constexpr std::size_t count = 1001;
  for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(store().put(fmt::format("a/{:04}", i), {}));
  const auto all = other().list_all("a/");
  ASSERT_TRUE(all) << all.error().describe();
  ASSERT_EQ(all->size(), count);
  for (std::size_t i = 0; i < count; ++i) EXPECT_EQ((*all)[i].name, fmt::format("a/{:04}", i));
}

TEST_F(S3OtherServerTest, LargeObjectsGoInParts) {
  Bytes content(37U << 20);
  for (std::size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<std::byte>(i * 2654435761U >> 24U);
  const auto write = [&] {
    auto writer = store().create("large");
    EXPECT_TRUE((*writer)->write(content));
    return (*writer)->commit();
  };
  const auto done = write();
  ASSERT_TRUE(done) << done.error().describe();
  EXPECT_TRUE(other().get("large").value() == content);
  EXPECT_EQ(other().stat("large").value().size_bytes, content.size());
  EXPECT_EQ(other().list_all("").value().size(), 1U);
  // Across the border of two parts.
  Bytes some(1U << 20);
  const std::size_t from = (8U << 20) - (some.size() / 2);
  ASSERT_TRUE(other().read("large", from, some));
  EXPECT_TRUE(std::ranges::equal(some, ByteView(content).subspan(from, some.size())));
  EXPECT_EQ(write().error().code(), ErrorCode::already_exists);
  ASSERT_TRUE(store().remove("large"));
  EXPECT_EQ(other().stat("large").error().code(), ErrorCode::not_found);
  {
    auto dropped = store().create("dropped");
    ASSERT_TRUE((*dropped)->write(content));
  }
  EXPECT_TRUE(other().list_all("").value().empty());
}

}  // namespace
}  // namespace pgstrata
