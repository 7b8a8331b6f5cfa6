// What S3 says in XML, and what its errors mean here. Private to this folder.
#pragma once

#include <optional>
#include <string>

#include "net/http_client.h"
#include "storage/s3/s3_client.h"

namespace pgstrata {

inline constexpr int status_partial = 206;
inline constexpr int status_unauthorized = 401;
inline constexpr int status_forbidden = 403;
inline constexpr int status_not_found = 404;
inline constexpr int status_conflict = 409;
inline constexpr int status_precondition_failed = 412;
inline constexpr int status_range_not_satisfiable = 416;
inline constexpr int status_too_many_requests = 429;
inline constexpr int status_not_implemented = 501;
inline constexpr int status_no_room = 507;

// The body of an error (Amazon S3 API Reference, "Error responses"); all empty where it is none.
struct S3Problem {
  std::string code;  // "NoSuchKey"
  std::string message;
  std::string region;  // where the bucket is, when that is what is wrong
  [[nodiscard]] std::string describe(int status) const;
};
[[nodiscard]] S3Problem parse_s3_problem(const HttpAnswer& answer);

// Whether the same request may be answered otherwise a moment later.
[[nodiscard]] bool is_passing(const HttpAnswer& answer, const S3Problem& problem);

// The error that an answer is: not_found, permission, no_space, unavailable, failed. `what` is "write s3://..."
[[nodiscard]] Error s3_error(const HttpAnswer& answer, std::string_view what);

// Errors: damaged, when it is no such document.
[[nodiscard]] Result<S3ListingPage> parse_s3_listing(ByteView xml);
[[nodiscard]] Result<std::string> parse_upload_id(ByteView xml);

}  // namespace pgstrata
