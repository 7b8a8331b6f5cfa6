#include "cli/config_file.h"

#include <toml++/toml.h>

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
  if (key != "log") {
    return refuse(name, at, fmt::format("there is no setting \"{}\"", key),
                  "The settings are repo, key_file, passphrase_env, state_dir and log.");
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
