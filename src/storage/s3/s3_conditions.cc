#include "storage/s3/s3_conditions.h"

#include <nlohmann/json.hpp>

#include "codec/digest.h"
#include "codec/secret.h"

namespace pgstrata {
namespace {

using Json = nlohmann::json;

constexpr int note_version = 1;
constexpr std::size_t note_limit_bytes = 64U << 10;

std::string note_key(const std::string& root) {
  return root + ".store";
}

// By which a place is known again, whoever names it and however it is addressed.
std::string place_of(const S3Client& client) {
  const S3Location& location = client.location();
  return fmt::format("{}/{}", location.endpoint.empty() ? "aws" : location.endpoint, location.bucket);
}

using Written = S3Client::Written;

Result<Written> try_put(S3Client& client, const std::string& key, const S3Condition& condition,
                        std::string* etag = nullptr) {
  PGS_TRY(auto outcome, client.put(key, as_byte_view(to_hex(random_bytes(8))), condition));
  if (etag != nullptr) *etag = outcome.etag;
  return outcome.written;
}

Result<bool> honours_must_not_exist(S3Client& client, const std::string& key, std::string& etag) {
  PGS_TRY(const Written made, try_put(client, key, {.must_not_exist = true}, &etag));
  if (made != Written::done) return false;
  PGS_TRY(const Written again, try_put(client, key, {.must_not_exist = true}));
  return again == Written::condition_failed;
}

// `etag` is that of the object at `key`, and is that of the new one afterwards.
Result<bool> honours_still(S3Client& client, const std::string& key, const S3Conditions& as,
                           std::string& etag) {
  const std::string before = etag;
  PGS_TRY(const Written right, try_put(client, key, as.still(before), &etag));
  if (right != Written::done) {
    etag = before;
    return false;
  }
  PGS_TRY(const Written wrong, try_put(client, key, as.still(before)));
  if (wrong != Written::condition_failed) return false;
  PGS_TRY(const Written missing, try_put(client, key + "-missing", as.still(etag)));
  return missing == Written::condition_failed;
}

Result<S3Conditions> try_writes(S3Client& client, const std::string& key) {
  std::string etag;
  PGS_TRY(const bool first, honours_must_not_exist(client, key, etag));
  if (!first) return S3Conditions{};
  for (const bool bare : {false, true}) {
    const S3Conditions as{.writes = true, .bare_etags = bare};
    PGS_TRY(const bool honoured, honours_still(client, key, as, etag));
    if (honoured) return as;
  }
  return S3Conditions{};
}

Result<bool> honours_conditional_uploads(S3Client& client, const std::string& key) {
  PGS_TRY(const std::string upload, client.begin_upload(key, "probe"));
  PGS_TRY(const std::string part, client.upload_part(key, upload, 1, as_byte_view("probe")));
  auto outcome = client.complete_upload(key, upload, {part}, {.must_not_exist = true});
  const bool honoured = outcome && outcome->written == Written::condition_failed;
  if (!outcome || outcome->written != Written::done) PGS_CHECK(client.abort_upload(key, upload));
  return honoured;
}

}  // namespace

Result<std::optional<S3Conditions>> noted_conditions(S3Client& client, const std::string& root) {
  auto note = client.get(note_key(root), note_limit_bytes);
  if (!note) {
    // Without a bucket there is nothing to be tried either: whoever lists it says so.
    if (note.error().code() == ErrorCode::not_found) return std::nullopt;
    return std::unexpected(std::move(note).error());
  }
  const Json json = Json::parse(as_text(note->content), nullptr, false);
  if (!json.is_object() || json.value("place", Json()) != place_of(client)) return std::nullopt;
  const auto flag = [&json](const char* name) { return json.value(name, Json()) == true; };
  return S3Conditions{.writes = flag("conditional_writes"),
                      .bare_etags = flag("bare_etags"),
                      .uploads = flag("conditional_uploads")};
}

S3Condition S3Conditions::still(const std::string& etag) const {
  const bool quoted = etag.size() > 2 && etag.starts_with('"') && etag.ends_with('"');
  return {.etag = bare_etags && quoted ? etag.substr(1, etag.size() - 2) : etag};
}

Result<S3Conditions> try_conditions(S3Client& client, const std::string& root) {
  const std::string key = fmt::format("{}.probe-{}", root, to_hex(random_bytes(8)));
  auto conditions = try_writes(client, key);
  if (conditions && conditions->writes) {
    PGS_TRY(conditions->uploads, honours_conditional_uploads(client, key));
  }
  for (const auto& made : {key, key + "-missing"}) {
    // The first error counts: who may not write may not remove.
    if (!conditions) break;
    const auto removed = client.remove(made);
    // Where a condition is refused unseen, it is not known yet that there is no bucket: who writes the note says so.
    if (!removed && removed.error().code() != ErrorCode::not_found) return std::unexpected(removed.error());
  }
  return conditions;
}

Result<void> note_conditions(S3Client& client, const std::string& root, const S3Conditions& conditions) {
  const Json json = {{"version", note_version},
                     {"place", place_of(client)},
                     {"conditional_writes", conditions.writes},
                     {"bare_etags", conditions.bare_etags},
                     {"conditional_uploads", conditions.uploads}};
  PGS_CHECK(client.put(note_key(root), as_byte_view(json.dump()), {}));
  return {};
}

}  // namespace pgstrata
