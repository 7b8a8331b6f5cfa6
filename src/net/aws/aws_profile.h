// The settings that AWS' own tools go by: variables and the files ~/.aws/config and ~/.aws/credentials (AWS SDKs and Tools
// Reference Guide, "Shared config and credentials files").
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/environment.h"

namespace pgstrata {

// "region" -> "eu-central-1"; nested settings as "s3.addressing_style".
using AwsProfile = std::map<std::string, std::string, std::less<>>;

// The setting where it is there and not empty.
[[nodiscard]] std::optional<std::string> setting_in(const AwsProfile& profile, std::string_view setting);

class AwsSettings {
 public:
  // Reads the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or those in ~/.aws; a missing one is
  // an empty one. `profile` empty: AWS_PROFILE, or "default". Errors: not_found, when a profile that was named, here or
  // by AWS_PROFILE, is in neither file (the hint lists those there are); permission and failed, naming the file;
  // usage, when a file does not parse (names file and line), or the profile names [services] that are not there.
  static Result<AwsSettings> load(const EnvironmentLookup& environment, const std::string& profile);

  // Of the chosen profile; what the credentials file says counts before the config file.
  [[nodiscard]] const AwsProfile& profile() const { return profile_; }
  [[nodiscard]] const std::string& profile_name() const { return profile_name_; }
  // Whether the caller of load named it. Keys in variables do not count then; beside AWS_PROFILE they do.
  [[nodiscard]] bool profile_was_asked_for() const { return profile_was_asked_for_; }
  // Another profile, as source_profile names it. Empty where there is none.
  [[nodiscard]] AwsProfile named(const std::string& profile) const;
  [[nodiscard]] const EnvironmentLookup& environment() const { return environment_; }
  // Where it is set and not empty.
  [[nodiscard]] std::optional<std::string> variable(const std::string& name) const;
  // The variable where it is set and not empty, else the profile's setting.
  [[nodiscard]] std::optional<std::string> variable_or_setting(const std::string& variable,
                                                               std::string_view setting) const;

  // AWS_REGION, AWS_DEFAULT_REGION, the profile's region.
  [[nodiscard]] std::optional<std::string> region() const;
  // For "S3": AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, s3.endpoint_url of the profile's [services], the profile's endpoint_url;
  // none where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, or the profile's setting of that name, is true.
  [[nodiscard]] std::optional<std::string> endpoint(const std::string& upper_case_service) const;
  [[nodiscard]] std::optional<std::string> s3_endpoint() const { return endpoint("S3"); }

 private:
  Result<void> choose_profile(const std::string& asked_for);

  EnvironmentLookup environment_;
  std::map<std::string, AwsProfile, std::less<>> profiles_;
  std::map<std::string, AwsProfile, std::less<>> services_;
  AwsProfile profile_;
  std::string profile_name_;
  bool profile_was_asked_for_ = false;
};

}  // namespace pgstrata
