#include "cli/config_file.h"

#include <toml++/toml.h>

#include "cli/duration_argument.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

constexpr std::size_t config_size_max_bytes = std::size_t{1} << 20;

std::unexpected<Error> refuse(std::string_view name, toml::source_position at, std::string_view why,
                              std::string hint) {
  return std::unexpected(
      make_error(ErrorCode::usage, "{} line {}: {}", name, at.line, why).with_hint(std::move(hint)));
}

Result<std::string> text_value(const toml::node& node, std::string_view key, std::string_view name) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  return refuse(name, node.source().begin, fmt::format("{} takes a text", key),
                fmt::format("Write it as {} = \"...\".", key));
}

Result<const toml::table*> table_value(const toml::node& node, std::string_view key, std::string_view name) {
  if (const toml::table* table = node.as_table()) return table;
  return refuse(name, node.source().begin, fmt::format("{} is a table", key),
                fmt::format("Write it as [{}], and its settings below.", key));
}

std::chrono::seconds* span_of(RetentionPolicy& policy, std::string_view key) {
  if (key == "window") return &policy.window.emplace();
  if (key == "every") return &policy.every.emplace();
  if (key == "hourly") return &policy.hourly;
  if (key == "daily") return &policy.daily;
  if (key == "weekly") return &policy.weekly;
  if (key == "monthly") return &policy.monthly;
  if (key == "yearly") return &policy.yearly;
  return key == "floor" ? &policy.floor : nullptr;
}

Result<RetentionPolicy> retention_in(const toml::node& node, std::string_view table_name,
                                     std::string_view name) {
  PGS_TRY(const toml::table* table, table_value(node, table_name, name));
  RetentionPolicy policy;
  for (const auto& [key, value] : *table) {
    const auto at = key.source().begin;
    auto* span = span_of(policy, key.str());
    if (span == nullptr) {
      return refuse(name, at, fmt::format("{} has no setting \"{}\"", table_name, key.str()),
                    "They are window, every, hourly, daily, weekly, monthly, yearly and floor.");
    }
    PGS_TRY(const std::string text, text_value(value, key.str(), name));
    const auto parsed = parse_duration_argument(text);
    if (!parsed) return refuse(name, at, parsed.error().message(), parsed.error().hint());
    *span = *parsed;
  }
  if (policy.window) return policy;
  return refuse(name, table->source().begin, fmt::format("{} has no window", table_name),
                "Say for how long any second can be restored: window = \"30d\".");
}

Result<void> apply_clusters(ConfigFile& config, const toml::node& node, std::string_view name) {
  PGS_TRY(const toml::table* clusters, table_value(node, "cluster", name));
  for (const auto& [cluster, settings] : *clusters) {
    PGS_TRY(const toml::table* table, table_value(settings, fmt::format("cluster.{}", cluster.str()), name));
    for (const auto& [key, value] : *table) {
      if (key != "retention") {
        return refuse(name, key.source().begin, fmt::format("a cluster has no setting \"{}\"", key.str()),
                      "There is [cluster.NAME.retention].");
      }
      const auto table_name = fmt::format("cluster.{}.retention", cluster.str());
      PGS_TRY(config.retention.by_cluster[std::string(cluster.str())], retention_in(value, table_name, name));
    }
  }
  return {};
}

Result<void> apply(ConfigFile& config, std::string_view key, const toml::node& node, toml::source_position at,
                   std::string_view name) {
  std::optional<std::string>* const target = key == "repo"             ? &config.repo
                                             : key == "key_file"       ? &config.key_file
                                             : key == "passphrase_env" ? &config.passphrase_env
                                             : key == "state_dir"      ? &config.state_dir
                                                                       : nullptr;
  if (target != nullptr) {
    PGS_TRY(*target, text_value(node, key, name));
    return {};
  }
  if (key == "retention") {
    PGS_TRY(config.retention.general, retention_in(node, key, name));
    return {};
  }
  if (key == "cluster") return apply_clusters(config, node, name);
  if (key != "log") {
    return refuse(name, at, fmt::format("there is no setting \"{}\"", key),
                  "The settings are repo, key_file, passphrase_env, state_dir, log, [retention] and "
                  "[cluster.NAME.retention].");
  }
  PGS_TRY(const std::string text, text_value(node, key, name));
  config.log = parse_severity(text);
  if (config.log) return {};
  return refuse(name, at, fmt::format("log cannot be \"{}\"", text),
                "Write log = \"debug\", \"info\", \"warning\" or \"error\".");
}

}  // namespace

std::optional<Severity> parse_severity(std::string_view text) {
  if (text == "debug") return Severity::debug;
  if (text == "info") return Severity::info;
  if (text == "warning") return Severity::warning;
  if (text == "error") return Severity::error;
  return std::nullopt;
}

Result<ConfigFile> parse_config(std::string_view text, std::string_view name) {
  toml::table table;
  try {
    table = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return refuse(name, error.source().begin, error.description(),
                  "The file is TOML: lines of name = \"value\".");
  }
  ConfigFile config;
  for (const auto& [key, node] : table) {
    PGS_CHECK(apply(config, key.str(), node, key.source().begin, name));
  }
  if (config.key_file && config.passphrase_env) {
    return refuse(name, table.find("passphrase_env")->first.source().begin,
                  "key_file and passphrase_env exclude each other", "Keep one of them.");
  }
  return config;
}

Result<ConfigFile> read_config(const std::filesystem::path& path) {
  PGS_TRY(const Bytes content, read_file(path, config_size_max_bytes).context("read the settings"));
  return parse_config(as_text(content), path.string());
}

}  // namespace pgstrata
