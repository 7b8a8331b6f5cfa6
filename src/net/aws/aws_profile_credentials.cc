// What the environment and a profile say.
#include <algorithm>

#include "net/aws/aws_credential_sources.h"

namespace pgstrata {
namespace {

constexpr std::string_view default_session_name = "pgstrata";

struct NamedProfile {
  std::string name;
  AwsProfile values;
};

AwsRole role_in(const AwsCredentialSearch& search, const AwsProfile& profile, const std::string& arn) {
  const auto own_name = setting_in(profile, "role_session_name");
  const auto name = own_name ? own_name : search.settings.variable("AWS_ROLE_SESSION_NAME");
  return {.arn = arn,
          .session_name = name.value_or(std::string(default_session_name)),
          .external_id = setting_in(profile, "external_id").value_or(""),
          .duration_seconds = setting_in(profile, "duration_seconds").value_or("")};
}

FoundAwsCredentials profile_keys(const NamedProfile& profile) {
  const auto id = setting_in(profile.values, "aws_access_key_id");
  const auto secret = setting_in(profile.values, "aws_secret_access_key");
  if (!id && !secret) return std::nullopt;
  if (!id || !secret) {
    return fail(ErrorCode::usage,
                "AWS profile \"{}\" has one of aws_access_key_id and aws_secret_access_key without the other",
                profile.name);
  }
  return AwsCredentials{.access_key_id = *id,
                        .secret_access_key = *secret,
                        .session_token = setting_in(profile.values, "aws_session_token").value_or(""),
                        .expires = {}};
}

FoundAwsCredentials find_in_profile(const AwsCredentialSearch& search, const NamedProfile& profile,
                                    std::vector<std::string>& visited);

FoundAwsCredentials find_source(const AwsCredentialSearch& search, const NamedProfile& profile,
                                std::vector<std::string>& visited) {
  const auto source_profile = setting_in(profile.values, "source_profile");
  const auto credential_source = setting_in(profile.values, "credential_source");
  if (source_profile.has_value() == credential_source.has_value()) {
    return fail(ErrorCode::usage,
                "AWS profile \"{}\" has role_arn and {} of source_profile and credential_source",
                profile.name, source_profile ? "both" : "none");
  }
  if (credential_source == "Environment") return environment_aws_credentials(search);
  if (credential_source == "EcsContainer") return container_aws_credentials(search);
  if (credential_source == "Ec2InstanceMetadata") return instance_aws_credentials(search);
  if (credential_source) {
    return fail(ErrorCode::usage, "credential_source of AWS profile \"{}\" cannot be \"{}\"", profile.name,
                *credential_source);
  }
  // One may name itself: its keys are the source of its role.
  const NamedProfile source{.name = *source_profile, .values = search.settings.named(*source_profile)};
  if (source.name == profile.name && source.values.contains("aws_access_key_id")) return profile_keys(source);
  if (std::ranges::find(visited, source.name) != visited.end()) {
    return fail(ErrorCode::usage, "source_profile of AWS profile \"{}\" leads back to \"{}\"", profile.name,
                source.name);
  }
  return find_in_profile(search, source, visited);
}

FoundAwsCredentials find_role(const AwsCredentialSearch& search, const NamedProfile& profile,
                              const std::string& arn, std::vector<std::string>& visited) {
  if (profile.values.contains("mfa_serial")) {
    return std::unexpected(
        make_error(ErrorCode::unsupported,
                   "the role of AWS profile \"{}\" wants an MFA code, and nobody is there to type it",
                   profile.name)
            .with_hint("Name a role that needs none, or set credential_process."));
  }
  PGS_TRY(const auto source, find_source(search, profile, visited));
  if (!source) {
    return fail(ErrorCode::permission,
                "what AWS profile \"{}\" names as the source of its role has no credentials", profile.name);
  }
  PGS_TRY(AwsCredentials credentials, assume_aws_role(search, role_in(search, profile.values, arn), *source));
  return credentials;
}

FoundAwsCredentials find_in_profile(const AwsCredentialSearch& search, const NamedProfile& profile,
                                    std::vector<std::string>& visited) {
  visited.push_back(profile.name);
  const auto arn = setting_in(profile.values, "role_arn");
  const auto token_file = setting_in(profile.values, "web_identity_token_file");
  if (token_file && !arn) {
    return fail(ErrorCode::usage, "AWS profile \"{}\" has web_identity_token_file, but no role_arn",
                profile.name);
  }
  if (token_file) {
    PGS_TRY(AwsCredentials credentials,
            assume_aws_role_with_web_identity(search, role_in(search, profile.values, *arn), *token_file));
    return credentials;
  }
  if (arn) return find_role(search, profile, *arn, visited);
  PGS_TRY(auto keys, profile_keys(profile));
  if (keys) return keys;
  if (const auto command = setting_in(profile.values, "credential_process")) {
    PGS_TRY(AwsCredentials credentials, process_aws_credentials(*command));
    return credentials;
  }
  const auto is_sso = [](const auto& setting) {
    return setting.first.starts_with("sso_") || setting.first == "login_session";
  };
  if (std::ranges::any_of(profile.values, is_sso)) {
    return std::unexpected(
        make_error(ErrorCode::unsupported, "AWS profile \"{}\" signs in with SSO, which is not supported",
                   profile.name)
            .with_hint(
                fmt::format("Let AWS' tool do it: make a profile with credential_process = aws configure "
                            "export-credentials --profile {}, and name that one.",
                            profile.name)));
  }
  return std::nullopt;
}

}  // namespace

FoundAwsCredentials environment_aws_credentials(const AwsCredentialSearch& search) {
  const auto id = search.settings.variable("AWS_ACCESS_KEY_ID");
  const auto secret = search.settings.variable("AWS_SECRET_ACCESS_KEY");
  if (!id && !secret) {
    search.absent.emplace_back("AWS_ACCESS_KEY_ID is not set");
    return std::nullopt;
  }
  if (!id || !secret) {
    return fail(ErrorCode::usage,
                "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set without the other");
  }
  return AwsCredentials{.access_key_id = *id,
                        .secret_access_key = *secret,
                        .session_token = search.settings.variable("AWS_SESSION_TOKEN").value_or(""),
                        .expires = {}};
}

FoundAwsCredentials web_identity_aws_credentials(const AwsCredentialSearch& search) {
  const auto token_file = search.settings.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (!token_file) return std::nullopt;
  const auto arn = search.settings.variable_or_setting("AWS_ROLE_ARN", "role_arn");
  if (!arn) return fail(ErrorCode::usage, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
  PGS_TRY(AwsCredentials credentials,
          assume_aws_role_with_web_identity(search, role_in(search, {}, *arn), *token_file));
  return credentials;
}

FoundAwsCredentials profile_aws_credentials(const AwsCredentialSearch& search) {
  std::vector<std::string> visited;
  const NamedProfile profile{.name = search.settings.profile_name(), .values = search.settings.profile()};
  PGS_TRY(auto found, find_in_profile(search, profile, visited));
  if (!found) search.absent.push_back(fmt::format("profile \"{}\" has none", profile.name));
  return found;
}

}  // namespace pgstrata
