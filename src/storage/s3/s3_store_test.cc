#include "storage/s3/s3_store.h"

#include "storage/conformance.h"
#include "storage/s3/s3_test_support.h"

namespace pgstrata {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ObjectStore> opened(Result<std::unique_ptr<S3Store>> store) {
  if (!store) throw std::runtime_error(store.error().describe());
  return *std::move(store);
}

class S3Harness {
 public:
  ObjectStore& store() { return *store_; }
  ObjectStore& other() { return *other_; }

 private:
  const S3Location place_ = new_place();
  std::unique_ptr<ObjectStore> store_ = opened(S3Store::open_or_make(place_, test_options()));
  std::unique_ptr<ObjectStore> other_ = opened(S3Store::open(place_, test_options()));
};

INSTANTIATE_TYPED_TEST_SUITE_P(S3, ObjectStoreConformance, S3Harness);

TEST(S3StoreTest, TheServersConditionsAreTriedAndNoted) {
  const S3Location place = new_place();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_TRUE((*made)->capabilities().conditional_writes);
  EXPECT_TRUE((*made)->capabilities().far);
  const auto note = testing::S3Server::shared().request("GET", "/" + place.bucket + "/pre%20fix/app/.store");
  EXPECT_EQ(note.status, 200);
  EXPECT_THAT(note.body, HasSubstr("\"conditional_writes\":true"));
  EXPECT_THAT(note.body, HasSubstr(place.endpoint + "/" + place.bucket));
  // What was tried with is gone.
  EXPECT_TRUE((*made)->list_all("")->empty());
  const auto listing = testing::S3Server::shared().request("GET", "/" + place.bucket + "/?list-type=2");
  EXPECT_THAT(listing.body, ::testing::Not(HasSubstr("probe")));
}

// Ceph's, where the bucket has versions.
TEST(S3StoreTest, AServerThatIgnoresConditionsIsKnown) {
  S3Location place = new_place();
  place.bucket = testing::S3Server::shared().make_bucket(testing::WithObjectLock::yes);
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_FALSE((*made)->capabilities().conditional_writes);
  const auto opened = S3Store::open(place, test_options());
  ASSERT_TRUE(opened);
  EXPECT_FALSE((*opened)->capabilities().conditional_writes);
  // It looks before it writes.
  ObjectStore& store = **opened;
  ASSERT_TRUE(store.put("a", as_byte_view("one")));
  EXPECT_EQ(store.put("a", as_byte_view("two")).error().code(), ErrorCode::already_exists);
  auto writer = store.create("a");
  ASSERT_TRUE((*writer)->write(as_byte_view("two")));
  EXPECT_EQ((*writer)->commit().error().code(), ErrorCode::already_exists);
  EXPECT_EQ(as_text(store.get("a").value()), "one");
  const auto version = store.replace("lease", std::nullopt, as_byte_view("one"));
  ASSERT_TRUE(version);
  EXPECT_EQ(store.replace("lease", std::nullopt, as_byte_view("two")).error().code(), ErrorCode::busy);
  EXPECT_EQ(store.replace("lease", "\"other\"", as_byte_view("two")).error().code(), ErrorCode::busy);
  EXPECT_TRUE(store.replace("lease", *version, as_byte_view("two")));
  EXPECT_EQ(as_text(store.get("lease").value()), "two");
}

TEST(S3StoreTest, TheStorageClassIsThatOfWhatStays) {
  S3Location place = new_place();
  ASSERT_TRUE(S3Store::open_or_make(place, test_options()));
  place.storage_class = "NO_SUCH_CLASS";
  EXPECT_FALSE(S3Store::open_or_make(place, test_options())) << "it is tried when a repository is made";
  const auto made = S3Store::open(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  const Bytes large(200U << 10);
  EXPECT_TRUE((*made)->put("tail", large)) << "it lives for minutes";
  const auto write = [&](std::string_view name, ByteView content) {
    auto writer = (*made)->create(name);
    EXPECT_TRUE((*writer)->write(content));
    return (*writer)->commit();
  };
  EXPECT_TRUE(write("small", ByteView(large).first(1000)));
  const auto refused = write("pack", large);
  ASSERT_FALSE(refused) << "the server does not know it";
  EXPECT_THAT(refused.error().describe(), HasSubstr("400"));
}

TEST(S3StoreTest, TheServerEncryptsWhereItIsToldTo) {
  const auto& server = testing::S3Server::shared();
  S3Location place = new_place();
  place.encryption = "aws:kms";
  place.kms_key = testing::S3Server::kms_key();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  ObjectStore& store = **made;
  ASSERT_TRUE(store.put("small", as_byte_view("content")));
  const auto version = store.replace("lease", std::nullopt, as_byte_view("one"));
  ASSERT_TRUE(version) << version.error().describe();
  EXPECT_TRUE(store.replace("lease", *version, as_byte_view("two")));
  const Bytes content(20U << 20, std::byte{7});
  auto writer = store.create("large");
  ASSERT_TRUE((*writer)->write(content));
  ASSERT_TRUE((*writer)->commit());
  for (const std::string name : {"small", "lease", "large"}) {
    const auto head = server.request("HEAD", "/" + place.bucket + "/pre%20fix/app/" + name);
    EXPECT_EQ(head.headers.at("x-amz-server-side-encryption"), "aws:kms") << name;
    EXPECT_EQ(head.headers.at("x-amz-server-side-encryption-aws-kms-key-id"), place.kms_key) << name;
  }
  EXPECT_EQ(as_text(store.get("small").value()), "content");
  EXPECT_TRUE(store.get("large").value() == content);
  Bytes piece(1000);
  EXPECT_EQ(store.read_some("large", (20U << 20) - 500, piece).value(), 500U);
  place.kms_key = "no-such-key";
  const auto refused = S3Store::open_or_make(place, test_options());
  ASSERT_FALSE(refused) << "it is tried when a repository is made";
}

TEST(S3StoreTest, OfAnotherPlaceNothingIsBelieved) {
  const S3Location place = new_place();
  ASSERT_TRUE(S3Store::open_or_make(place, test_options()));
  // As if it had been copied from a store that does not honour them.
  const std::string note = "/" + place.bucket + "/pre%20fix/app/.store";
  const auto& server = testing::S3Server::shared();
  server.request("PUT", note,
                 R"({"version":1,"place":"https://elsewhere/bucket","conditional_writes":false})");
  const auto opened = S3Store::open(place, test_options());
  ASSERT_TRUE(opened) << opened.error().describe();
  EXPECT_TRUE((*opened)->capabilities().conditional_writes);
  EXPECT_THAT(server.request("GET", note).body, HasSubstr(place.endpoint));
}

TEST(S3StoreTest, WhereNothingIsItSaysSo) {
  S3Location place = new_place();
  auto missing = S3Store::open(place, test_options());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().describe(), HasSubstr("there is nothing at s3://" + place.bucket));
  place.bucket += "-missing";
  missing = S3Store::open(place, test_options());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::not_found);
  EXPECT_THAT(missing.error().hint(), HasSubstr("Make the bucket"));
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), ErrorCode::not_found);
}

TEST(S3StoreTest, WhoMayNotIsToldSo) {
  const S3Location place = new_place();
  ASSERT_TRUE(S3Store::open_or_make(place, test_options()));
  const auto stranger = S3Store::open(place, test_options(testing::S3Server::stranger()));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code(), ErrorCode::permission);
  EXPECT_THAT(stranger.error().hint(), HasSubstr("s3:ListBucket"));
  const auto wrong = S3Store::open(place, test_options({testing::S3Server::owner().access_key, "wrong"}));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), ErrorCode::permission);
  EXPECT_THAT(wrong.error().hint(), HasSubstr("AWS_SECRET_ACCESS_KEY"));
  EXPECT_THAT(wrong.error().describe(), ::testing::Not(HasSubstr("wrong")));
}

TEST(S3StoreTest, WhoMayOnlyReadReads) {
  const S3Location place = new_place();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made);
  ASSERT_TRUE((*made)->put("a/b", as_byte_view("x")));
  const auto reader = S3Store::open(place, test_options(testing::S3Server::reader()));
  ASSERT_TRUE(reader) << reader.error().describe();
  EXPECT_EQ(as_text((*reader)->get("a/b").value()), "x");
  EXPECT_EQ((*reader)->list_all("").value().size(), 1U);
  const auto put = (*reader)->put("a/c", as_byte_view("x"));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code(), ErrorCode::permission);
  EXPECT_EQ((*reader)->remove("a/b").error().code(), ErrorCode::permission);
}

TEST(S3StoreTest, CertificatesAreVerified) {
  S3Location place = new_place(testing::S3Server::shared().tls_endpoint());
  const auto refused = S3Store::open_or_make(place, test_options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed);
  EXPECT_THAT(refused.error().hint(), HasSubstr("ca=FILE"));
  place.ca_file = "/nonexistent.pem";
  EXPECT_EQ(S3Store::open_or_make(place, test_options()).error().code(), ErrorCode::usage);
  place.ca_file = testing::S3Server::shared().ca_file();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  ASSERT_TRUE((*made)->put("a", as_byte_view("x")));
  EXPECT_EQ(as_text((*made)->get("a").value()), "x");
}

TEST(S3StoreTest, BucketsMayBeNamedByHost) {
  S3Location place = new_place(fmt::format("http://s3.localhost:{}", testing::S3Server::shared().port()));
  place.addressing = S3Addressing::virtual_host;
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made) << made.error().describe();
  ASSERT_TRUE((*made)->put("a", as_byte_view("x")));
  EXPECT_EQ(testing::S3Server::shared().request("GET", "/" + place.bucket + "/pre%20fix/app/a").body, "x");
}

TEST(S3StoreTest, WhatIsNoObjectIsPassedOver) {
  const S3Location place = new_place();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made);
  for (const std::string_view key : {"a/.hidden", "a/b%20c", "a/", "x"}) {
    testing::S3Server::shared().request("PUT", fmt::format("/{}/pre%20fix/app/{}", place.bucket, key), "x");
  }
  const auto all = (*made)->list_all("");
  ASSERT_TRUE(all) << all.error().describe();
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ(all->front().name, "x");
}

TEST(S3StoreTest, ListsMoreThanAPage) {
  const auto made = S3Store::open_or_make(new_place(), test_options());
  ASSERT_TRUE(made);
  constexpr int count = 1001;
  std::atomic<int> next{0};
  std::vector<std::jthread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] {
      for (int n = next++; n < count; n = next++) EXPECT_TRUE((*made)->put(fmt::format("a/{:04}", n), {}));
    });
  }
  writers.clear();
  const auto all = (*made)->list_all("a/");
  ASSERT_TRUE(all) << all.error().describe();
  ASSERT_EQ(all->size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    EXPECT_EQ((*all)[static_cast<std::size_t>(i)].name, fmt::format("a/{:04}", i));
}

TEST(S3StoreTest, LargeObjectsGoInParts) {
  const S3Location place = new_place();
  const auto made = S3Store::open_or_make(place, test_options());
  ASSERT_TRUE(made);
  Bytes content(37U << 20);
  for (std::size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<std::byte>(i * 2654435761U >> 24U);
  const auto write = [&] {
    auto writer = (*made)->create("large");
    for (ByteView rest = content; !rest.empty();
         rest = rest.subspan(std::min<std::size_t>(rest.size(), 1'234'567))) {
      EXPECT_TRUE((*writer)->write(rest.first(std::min<std::size_t>(rest.size(), 1'234'567))));
    }
    return (*writer)->commit();
  };
  ASSERT_TRUE(write());
  EXPECT_TRUE((*made)->get("large").value() == content);
  EXPECT_EQ(write().error().code(), ErrorCode::already_exists);
  {
    auto dropped = (*made)->create("dropped");
    ASSERT_TRUE((*dropped)->write(content));
  }
  const auto uploads = testing::S3Server::shared().request("GET", "/" + place.bucket + "/?uploads=");
  EXPECT_EQ(uploads.status, 200);
  EXPECT_THAT(uploads.body, ::testing::Not(HasSubstr("<Upload>"))) << "nothing unfinished is left";
}

}  // namespace
}  // namespace pgstrata
