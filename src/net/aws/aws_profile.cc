#include "net/aws/aws_profile.h"

#include <cstdlib>

#include <fmt/ranges.h>
#include <pwd.h>
#include <unistd.h>

#include "net/aws/aws_profile_file.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t aws_file_max_bytes = std::size_t{1} << 20;

std::optional<std::string> not_empty(std::optional<std::string> value) {
  if (value && value->empty()) return std::nullopt;
  return value;
}

// HOME, or what the user database says: services often have no HOME. Nothing where neither says.
std::filesystem::path home_folder(const EnvironmentLookup& environment) {
  if (const auto set = not_empty(environment("HOME"))) return *set;
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  (void)::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr ? found->pw_dir : "";
}

std::filesystem::path settings_path(const EnvironmentLookup& environment, const std::string& variable,
                                    std::string_view usual_name) {
  const auto set = not_empty(environment(variable));
  if (!set) {
    const auto folder = home_folder(environment);
    return folder.empty() ? folder : folder / ".aws" / usual_name;
  }
  return set->starts_with("~/") ? home_folder(environment) / set->substr(2) : std::filesystem::path(*set);
}

Result<AwsFileSections> read_sections(const std::filesystem::path& path) {
  if (path.empty()) return AwsFileSections{};
  auto content = read_file(path, aws_file_max_bytes);
  if (content.has_value()) return parse_aws_file(as_text(*content), path.native());
  if (content.error().code() == ErrorCode::not_found) return AwsFileSections{};
  Error error = std::move(content).error().with_context("read AWS' settings");
  if (error.code() != ErrorCode::permission) return std::unexpected(std::move(error));
  return std::unexpected(
      std::move(error).with_hint("Let this user read the file, or name another with AWS_CONFIG_FILE or "
                                 "AWS_SHARED_CREDENTIALS_FILE."));
}

// "profile eu" and "profile \"eu\"" -> "eu", for "profile".
std::optional<std::string> name_after(std::string_view kind, std::string_view section) {
  if (!section.starts_with(kind)) return std::nullopt;
  section.remove_prefix(kind.size());
  const std::size_t first = section.find_first_not_of(" \t");
  if (first == 0 || first == std::string_view::npos) return std::nullopt;
  section.remove_prefix(first);
  const bool quoted = section.size() > 2 && (section.front() == '"' || section.front() == '\'') &&
                      section.back() == section.front();
  return std::string(quoted ? section.substr(1, section.size() - 2) : section);
}

// The later counts; keys are of one file, never a half of each.
void merge_over(AwsProfile& profile, const AwsProfile& over) {
  if (over.contains("aws_access_key_id")) {
    for (const auto* name : {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
      profile.erase(name);
  }
  for (const auto& [name, value] : over) profile[name] = value;
}

}  // namespace

std::optional<std::string> setting_in(const AwsProfile& profile, std::string_view setting) {
  const auto found = profile.find(setting);
  return found == profile.end() ? std::nullopt : not_empty(found->second);
}

Result<AwsSettings> AwsSettings::load(const EnvironmentLookup& environment, const std::string& profile) {
  AwsSettings settings;
  settings.environment_ = environment;
  PGS_TRY(const AwsFileSections config,
          read_sections(settings_path(environment, "AWS_CONFIG_FILE", "config")));
  PGS_TRY(const AwsFileSections credentials,
          read_sections(settings_path(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials")));
  // [profile default] comes after [default], and counts before it.
  for (const auto& [section, values] : config) {
    if (section == "default") settings.profiles_[section] = values;
    if (const auto name = name_after("profile", section)) merge_over(settings.profiles_[*name], values);
    if (const auto name = name_after("services", section)) settings.services_[*name] = values;
  }
  for (const auto& [name, values] : credentials) merge_over(settings.profiles_[name], values);
  PGS_CHECK(settings.choose_profile(profile));
  return settings;
}

Result<void> AwsSettings::choose_profile(const std::string& asked_for) {
  const auto named_by_variable = variable("AWS_PROFILE");
  profile_was_asked_for_ = !asked_for.empty();
  profile_name_ = profile_was_asked_for_ ? asked_for : named_by_variable.value_or("default");
  if ((profile_was_asked_for_ || named_by_variable) && !profiles_.contains(profile_name_)) {
    std::vector<std::string> names;
    for (const auto& [name, values] : profiles_) names.push_back(name);
    return std::unexpected(make_error(ErrorCode::not_found, "there is no AWS profile \"{}\"", profile_name_)
                               .with_hint(names.empty()
                                              ? "There is none at all; \"aws configure\" makes one."
                                              : fmt::format("There are: {}.", fmt::join(names, ", "))));
  }
  profile_ = named(profile_name_);
  const auto services = setting_in(profile_, "services");
  if (services && !services_.contains(*services)) {
    return fail(ErrorCode::usage, "AWS profile \"{}\" names [services {}], which is not there", profile_name_,
                *services);
  }
  return {};
}

AwsProfile AwsSettings::named(const std::string& profile) const {
  const auto found = profiles_.find(profile);
  return found == profiles_.end() ? AwsProfile{} : found->second;
}

std::optional<std::string> AwsSettings::variable(const std::string& name) const {
  return not_empty(environment_(name));
}

std::optional<std::string> AwsSettings::variable_or_setting(const std::string& variable_name,
                                                            std::string_view setting) const {
  auto value = variable(variable_name);
  return value ? value : setting_in(profile_, setting);
}

std::optional<std::string> AwsSettings::region() const {
  auto value = variable("AWS_REGION");
  return value ? value : variable_or_setting("AWS_DEFAULT_REGION", "region");
}

std::optional<std::string> AwsSettings::endpoint(const std::string& upper_case_service) const {
  const auto ignored =
      variable_or_setting("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
  if (ignored && ascii_lower(*ignored) == "true") return std::nullopt;
  if (auto url = variable("AWS_ENDPOINT_URL_" + upper_case_service)) return url;
  if (auto url = variable("AWS_ENDPOINT_URL")) return url;
  if (const auto services = setting_in(profile_, "services")) {
    const std::string setting = ascii_lower(upper_case_service) + ".endpoint_url";
    if (auto url = setting_in(services_.at(*services), setting)) return url;
  }
  return setting_in(profile_, "endpoint_url");
}

}  // namespace pgstrata
