// Who we are to AWS, found where its own tools look, in their order:
//
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; passed over where the caller asked for a profile
//   2. web identity: AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (STS AssumeRoleWithWebIdentity); passed over likewise
//   3. the profile: role_arn with source_profile or credential_source (STS AssumeRole), or with web_identity_token_file; its
//      keys; credential_process
//   4. the container's: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI
//   5. the machine's: instance metadata, version 2 alone (IMDSv2), unless AWS_EC2_METADATA_DISABLED is true
//
// What expires is fetched anew five minutes before it does; while that fails, the old one serves until it has expired, and
// another try is made every half minute. Never logged, never in an error's text.
#pragma once

#include <memory>

#include "base/timestamp.h"
#include "net/aws/aws_profile.h"
#include "net/aws/aws_signature.h"
#include "net/http_client.h"

namespace pgstrata {

// Thread-safe: one thread fetches, the others wait for it or use what is still good.
class AwsCredentialSource {
 public:
  virtual ~AwsCredentialSource() = default;
  // Errors: permission, when there are none anywhere: the message says where was looked, the hint what to set; usage, when
  // settings contradict each other; unsupported (SSO, MFA); unavailable, when whoever gives them does not answer
  // now; failed, with what it said.
  virtual Result<AwsCredentials> credentials() = 0;
  // For who was told that they have expired or are not known: the next call fetches them anew, where they were fetched.
  virtual void renew() = 0;
};

struct AwsCredentialClients {
  HttpClient& aws;    // STS, and a container's https
  HttpClient& local;  // a container's http and the machine's metadata: with aws_local_http_options()
};

// Short limits: where there is no metadata service, nothing answers at its address.
[[nodiscard]] HttpClientOptions aws_local_http_options();

// The clients and `clock` are borrowed for the life of the source. The second form makes itself a local client.
[[nodiscard]] std::unique_ptr<AwsCredentialSource> make_aws_credential_chain(AwsSettings settings,
                                                                             AwsCredentialClients clients,
                                                                             const Clock& clock);
[[nodiscard]] std::unique_ptr<AwsCredentialSource> make_aws_credential_chain(AwsSettings settings,
                                                                             HttpClient& http,
                                                                             const Clock& clock);

// These and no others.
[[nodiscard]] std::unique_ptr<AwsCredentialSource> make_fixed_aws_credentials(AwsCredentials credentials);

}  // namespace pgstrata
