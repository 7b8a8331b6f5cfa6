#include "storage/s3/s3_answer.h"

#include <algorithm>
#include <array>
#include <pugixml.hpp>

namespace pgstrata {
namespace {

// The document's root element, if it is this one.
pugi::xml_node root_of(pugi::xml_document& document, ByteView xml, const char* name) {
  // No external entities and no DTD: pugixml reads neither.
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  return document.child(name);
}

bool is_one_of(std::string_view code, std::initializer_list<std::string_view> codes) {
  return std::ranges::find(codes, code) != codes.end();
}

bool is_of_session(std::string_view code) {
  return is_one_of(code, {"ExpiredToken", "TokenRefreshRequired", "InvalidToken"});
}

// Of a bucket that is elsewhere.
bool is_of_region(std::string_view code) {
  return is_one_of(code, {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
                          "IllegalLocationConstraintException"});
}

ErrorCode code_of(int status, std::string_view code) {
  if (is_one_of(code, {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"}))
    return ErrorCode::no_space;
  if (status == status_not_found) return ErrorCode::not_found;
  if (status == status_forbidden || status == status_unauthorized || is_of_session(code))
    return ErrorCode::permission;
  if (status == status_no_room) return ErrorCode::no_space;
  if (status == status_not_implemented) return ErrorCode::unsupported;
  const bool passing = status >= 500 || status == status_too_many_requests || status == status_conflict;
  return passing ? ErrorCode::unavailable : ErrorCode::failed;
}

std::string hint_of(int status, const S3Problem& problem) {
  const std::string_view code = problem.code;
  if (code == "NoSuchBucket")
    return "Make the bucket first, and see that its name, endpoint and region are right.";
  if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch") {
    return "The server does not know this access key, or the secret is not its: see AWS_ACCESS_KEY_ID and "
           "AWS_SECRET_ACCESS_KEY, or the profile.";
  }
  if (is_of_session(code)) {
    return "The session has expired, or its token is not the access key's: get new credentials, and see "
           "AWS_SESSION_TOKEN or the profile.";
  }
  if (is_of_region(code)) {
    return problem.region.empty()
               ? "The bucket is in another region: name it with region= in the repository's URL."
               : fmt::format("The bucket is in another region: region={} in the repository's URL names it.",
                             problem.region);
  }
  if (code == "InvalidStorageClass") return "Name another storage-class= in the repository's URL, or none.";
  if (code == "InvalidObjectState") return "The object is in an archive class: restore it there first.";
  if (status == status_forbidden) {
    return "The access key needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, "
           "s3:DeleteObject and "
           "s3:AbortMultipartUpload on what is in it.";
  }
  return {};
}

}  // namespace

std::string S3Problem::describe(int status) const {
  if (code.empty()) return fmt::format("the server answered {}", status);
  if (message.empty()) return fmt::format("the server answered {}, {}", status, code);
  return fmt::format("the server answered {}, {}: {}", status, code, message);
}

S3Problem parse_s3_problem(const HttpAnswer& answer) {
  constexpr std::size_t message_limit = 300;
  S3Problem problem;
  pugi::xml_document document;
  const pugi::xml_node error = root_of(document, answer.body, "Error");
  problem.code = error.child_value("Code");
  problem.message = std::string(error.child_value("Message")).substr(0, message_limit);
  problem.region = error.child_value("Region");
  if (const auto region = answer.header("x-amz-bucket-region"); !region.empty()) problem.region = region;
  return problem;
}

bool is_passing(const HttpAnswer& answer, const S3Problem& problem) {
  constexpr std::array statuses{500, 502, 503, 504, 429, 408};
  if (std::ranges::find(statuses, answer.status) != statuses.end()) return true;
  // An answer of 200 may hold an error: it was begun before the work was done.
  return is_one_of(problem.code,
                   {"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted",
                    "ConditionalRequestConflict", "ConcurrentModification"});
}

Error s3_error(const HttpAnswer& answer, std::string_view what) {
  const S3Problem problem = parse_s3_problem(answer);
  return make_error(code_of(answer.status, problem.code), "could not {}: {}", what,
                    problem.describe(answer.status))
      .with_hint(hint_of(answer.status, problem));
}

Result<S3ListingPage> parse_s3_listing(ByteView xml) {
  pugi::xml_document document;
  const pugi::xml_node root = root_of(document, xml, "ListBucketResult");
  if (!root) return fail(ErrorCode::damaged, "the server's listing is none");
  S3ListingPage page;
  page.more = std::string_view(root.child_value("IsTruncated")) == "true";
  for (const pugi::xml_node entry : root.children("Contents")) {
    ObjectInfo info{.name = entry.child_value("Key"), .size_bytes = 0, .modified = {}};
    const auto modified = parse_rfc3339(entry.child_value("LastModified"));
    if (!modified)
      return fail(ErrorCode::damaged, "the server's listing is none: {}", modified.error().message());
    info.modified = *modified;
    info.size_bytes = entry.child("Size").text().as_ullong();
    page.objects.push_back(std::move(info));
  }
  return page;
}

Result<std::string> parse_upload_id(ByteView xml) {
  pugi::xml_document document;
  std::string id = root_of(document, xml, "InitiateMultipartUploadResult").child_value("UploadId");
  if (id.empty())
    return fail(ErrorCode::damaged, "the server's answer to an upload that was to begin is none");
  return id;
}

}  // namespace pgstrata
