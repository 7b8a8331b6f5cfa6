// The sources that aws_credential_chain.h lists, one by one. Internal to the room.
#pragma once

#include <chrono>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "net/aws/aws_credential_chain.h"

namespace pgstrata {

struct AwsCredentialSearch {
  const AwsSettings& settings;
  AwsCredentialClients clients;
  const Clock& clock;
  std::vector<std::string>& absent;  // why there were none: "AWS_ACCESS_KEY_ID is not set"
};

// Nothing: not set up here, look elsewhere; `absent` says why.
using FoundAwsCredentials = Result<std::optional<AwsCredentials>>;

FoundAwsCredentials environment_aws_credentials(const AwsCredentialSearch& search);
FoundAwsCredentials web_identity_aws_credentials(const AwsCredentialSearch& search);
FoundAwsCredentials profile_aws_credentials(const AwsCredentialSearch& search);
FoundAwsCredentials container_aws_credentials(const AwsCredentialSearch& search);
FoundAwsCredentials instance_aws_credentials(const AwsCredentialSearch& search);

// The command is split as a shell does, without one: quotes and backslashes count, nothing else does.
Result<AwsCredentials> process_aws_credentials(const std::string& command,
                                               std::chrono::milliseconds limit = std::chrono::minutes(1));

struct AwsRole {
  std::string arn;
  std::string session_name;
  std::string external_id;       // empty: none
  std::string duration_seconds;  // empty: what STS takes by itself, an hour
};
Result<AwsCredentials> assume_aws_role(const AwsCredentialSearch& search, const AwsRole& role,
                                       const AwsCredentials& source);
Result<AwsCredentials> assume_aws_role_with_web_identity(const AwsCredentialSearch& search,
                                                         const AwsRole& role, const std::string& token_file);

// AccessKeyId, SecretAccessKey, `token_field` and Expiration, the last two where they are there. Error: failed,
// with `who` in front and the Code and Message that came instead.
Result<AwsCredentials> parse_aws_credentials_json(std::string_view text, const char* token_field,
                                                  std::string_view who);
// The answer, whatever its status; `who` is the context of errors, which are unavailable and failed.
Result<HttpAnswer> ask_for_aws_credentials(HttpClient& client, const HttpRequest& request,
                                           std::string_view who);
// What a file holds that is written anew now and then, without blanks at its end. Errors: permission; failed, also when
// there is none, for to a store not_found says something else.
Result<std::string> read_aws_token(const std::string& file);
// unavailable where another try may help, else failed.
[[nodiscard]] ErrorCode error_code_of_http_status(int status);
// The first line of what a server said, cut short; nothing when one of `secrets` is in it.
[[nodiscard]] std::string safe_to_say(std::string_view said,
                                      std::initializer_list<std::string_view> secrets = {});

}  // namespace pgstrata
