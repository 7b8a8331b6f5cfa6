// Where a repository lies in an S3 store, as the operator writes it:
//
//   s3://BUCKET/PREFIX?endpoint=https://s3.example.net&region=eu-central-1
//
// What may follow the "?", each at most once:
//   endpoint       the server, http:// or https://; else AWS_ENDPOINT_URL_S3 and the like, else AWS itself
//   region         else AWS_REGION and the like, else us-east-1
//   profile        of ~/.aws/config and ~/.aws/credentials; else AWS_PROFILE
//   addressing     "path" (server/bucket/key) or "virtual" (bucket.server/key); else virtual at AWS, path elsewhere
//   ca             a file of certificates (PEM) in the place of the system's
//   storage-class  of packs and sealed WAL of 128 KiB and more, such as STANDARD_IA (smaller ones are billed as that much)
//   sse            "AES256" or "aws:kms": asks the server to encrypt what is encrypted already
//   kms-key        with sse=aws:kms: the key's id or ARN
//   bandwidth      bytes a second, both ways together and for each process: 20M (K, M, G are powers of 1024)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pgstrata {

enum class S3Addressing : std::uint8_t { path, virtual_host };

struct S3Location {
  std::string bucket;
  std::string prefix;    // "" or "a/b": no "/" at its ends
  std::string endpoint;  // an origin (net/http_client.h); empty where it was not given, as all below
  std::string region;
  std::string profile;
  std::optional<S3Addressing> addressing;
  std::string ca_file;  // absolute
  std::string storage_class;
  std::string encryption;
  std::string kms_key;
  std::uint64_t bandwidth_bytes_per_second = 0;  // 0: no limit
};

[[nodiscard]] bool is_s3_location(std::string_view location);
// Error: usage, saying what is wrong and what may be written.
[[nodiscard]] Result<S3Location> parse_s3_location(std::string_view location);
// What parse_s3_location reads as the same.
[[nodiscard]] std::string to_string(const S3Location& location);

}  // namespace pgstrata
