#include "storage/s3/s3_store.h"

#include <algorithm>

#include "base/log.h"
#include "storage/s3/s3_writer.h"

namespace pgstrata {
namespace {

std::string root_of(const S3Location& location) {
  return location.prefix.empty() ? std::string() : location.prefix + "/";
}

std::unexpected<Error> changed(std::string_view name) {
  return fail(ErrorCode::busy, "\"{}\" was changed by somebody else", name);
}

std::unexpected<Error> nothing_there(const S3Location& location) {
  return std::unexpected(make_error(ErrorCode::not_found, "there is nothing at {}", to_string(location))
                             .with_hint("Are bucket, prefix and endpoint right?"));
}

// Tries what was not tried at this place. Who may only read cannot: to him it is no matter.
Result<S3Conditions> try_and_note(S3Client& client, const std::string& root) {
  auto tried = try_conditions(client, root);
  if (!tried && tried.error().code() == ErrorCode::permission) return S3Conditions{};
  if (!tried) return tried;
  PGS_CHECK(note_conditions(client, root, *tried));
  return tried;
}

}  // namespace

S3Store::S3Store(std::unique_ptr<S3Client> client, const S3Location& given, S3Conditions conditional)
    : client_(std::move(client)),
      root_(root_of(given)),
      described_(to_string(given)),
      conditional_(conditional) {}

Result<std::unique_ptr<S3Store>> S3Store::open(const S3Location& location, S3ClientOptions options,
                                               const Clock& clock) {
  PGS_TRY(auto client, S3Client::create(location, std::move(options), clock));
  const std::string root = root_of(client->location());
  PGS_TRY(auto conditions, noted_conditions(*client, root));
  if (!conditions) {
    PGS_TRY(const S3ListingPage page, client->list(root, "", 1));
    if (page.objects.empty()) return nothing_there(location);
    PGS_TRY(conditions, try_and_note(*client, root));
  }
  return std::unique_ptr<S3Store>(new S3Store(std::move(client), location, *conditions));
}

Result<std::unique_ptr<S3Store>> S3Store::open_or_make(const S3Location& location, S3ClientOptions options,
                                                       const Clock& clock) {
  PGS_TRY(auto client, S3Client::create(location, std::move(options), clock));
  const std::string root = root_of(client->location());
  PGS_TRY(const S3Conditions conditions, try_conditions(*client, root));
  PGS_CHECK(note_conditions(*client, root, conditions));
  return std::unique_ptr<S3Store>(new S3Store(std::move(client), location, conditions));
}

Result<void> S3Store::put(std::string_view name, ByteView content) {
  PGS_CHECK(check_object_name(name));
  return put_new_object(*client_, name, key_of(name), content, conditional_.writes);
}

Result<std::unique_ptr<ObjectWriter>> S3Store::create(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  return std::make_unique<S3Writer>(*client_, std::string(name), key_of(name), conditional_);
}

Result<std::unique_ptr<ObjectJournal>> S3Store::create_journal(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  return fail(ErrorCode::unsupported, "{} has no journals: an object there is put whole", described_);
}

Result<Bytes> S3Store::get(std::string_view name, std::uint64_t limit_bytes) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(S3Object object, client_->get(key_of(name), limit_bytes));
  return std::move(object.content);
}

Result<std::size_t> S3Store::read_some(std::string_view name, std::uint64_t offset, MutableByteView into) {
  PGS_CHECK(check_object_name(name));
  if (!into.empty()) return client_->read(key_of(name), offset, into);
  PGS_CHECK(client_->head(key_of(name)));
  return 0;
}

Result<ObjectInfo> S3Store::stat(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(S3Client::Metadata metadata, client_->head(key_of(name)));
  metadata.info.name = name;
  return std::move(metadata.info);
}

Result<std::vector<ObjectInfo>> S3Store::list(std::string_view prefix, std::string_view after,
                                              std::size_t limit) {
  std::vector<ObjectInfo> found;
  std::string last = after.empty() ? std::string() : key_of(after);
  while (found.size() < limit) {
    PGS_TRY(S3ListingPage page, client_->list(key_of(prefix), last, limit - found.size()));
    if (page.more && page.objects.empty())
      return fail(ErrorCode::damaged, "{} lists nothing, and then more", described_);
    if (!page.objects.empty()) last = page.objects.back().name;
    for (ObjectInfo& info : page.objects) {
      if (!info.name.starts_with(root_))
        return fail(ErrorCode::damaged, "{} lists what is not asked for", described_);
      info.name.erase(0, root_.size());
      // What is no object of ours is passed over.
      if (check_object_name(info.name)) found.push_back(std::move(info));
    }
    if (!page.more) break;
  }
  return found;
}

Result<void> S3Store::remove(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  return client_->remove(key_of(name));
}

Result<std::string> S3Store::replace(std::string_view name, const std::optional<std::string>& expected,
                                     ByteView content) {
  PGS_CHECK(check_object_name(name));
  PGS_CHECK(check_replaceable(name, content));
  if (!conditional_.writes) return replace_unconditionally(name, expected, content);
  const S3Condition condition =
      expected ? conditional_.still(*expected) : S3Condition{.must_not_exist = true};
  PGS_TRY(auto etag, put_if(*client_, key_of(name), content, condition));
  if (!etag) return changed(name);
  return *std::move(etag);
}

Result<std::string> S3Store::replace_unconditionally(std::string_view name,
                                                     const std::optional<std::string>& expected,
                                                     ByteView content) {
  const auto there = client_->head(key_of(name));
  if (!there && there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
  const bool as_expected = there ? expected == there->etag : !expected;
  if (!as_expected) return changed(name);
  PGS_TRY(auto outcome, client_->put(key_of(name), content, {}));
  return std::move(outcome.etag);
}

Result<VersionedObject> S3Store::get_versioned(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  PGS_TRY(S3Object object, client_->get(key_of(name), max_replaceable_bytes));
  return VersionedObject{.content = std::move(object.content), .version = std::move(object.etag)};
}

}  // namespace pgstrata
