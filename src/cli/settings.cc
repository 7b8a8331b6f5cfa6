#include "cli/settings.h"

#include <unistd.h>

#include "cli/config_file.h"
#include "sys/files.h"

namespace pgstrata {
namespace {

std::optional<std::filesystem::path> user_config_path(const EnvironmentLookup& environment) {
  constexpr const char* file = "pgstrata/pgstrata.toml";
  if (const auto folder = environment("XDG_CONFIG_HOME")) return std::filesystem::path(*folder) / file;
  if (const auto home = environment("HOME")) return std::filesystem::path(*home) / ".config" / file;
  return std::nullopt;
}

// A file that nobody asked for by name may be missing, or be closed to this user.
Result<ConfigFile> read_usual_config(const std::filesystem::path& path) {
  auto config = read_config(path);
  if (config.has_value() || config.error().code() == ErrorCode::usage) return config;
  if (config.error().code() != ErrorCode::not_found) log_warning("{}", config.error().describe());
  return ConfigFile{};
}

ConfigFile merged(ConfigFile over, ConfigFile under) {
  if (!over.repo) over.repo = std::move(under.repo);
  if (!over.log) over.log = under.log;
  if (!over.state_dir) over.state_dir = std::move(under.state_dir);
  if (!over.key_file && !over.passphrase_env) {
    over.key_file = std::move(under.key_file);
    over.passphrase_env = std::move(under.passphrase_env);
  }
  if (!over.retention.general) over.retention.general = under.retention.general;
  over.retention.by_cluster.merge(under.retention.by_cluster);
  return over;
}

Result<ConfigFile> read_config_files(const SharedFlags& flags, const EnvironmentLookup& environment,
                                     const std::filesystem::path& system_config) {
  if (flags.config) return read_config(*flags.config);
  if (const auto named = environment("PGSTRATA_CONFIG")) return read_config(*named);
  PGS_TRY(ConfigFile system, read_usual_config(system_config));
  const auto user_path = user_config_path(environment);
  if (!user_path) return system;
  PGS_TRY(ConfigFile user, read_usual_config(*user_path));
  return merged(std::move(user), std::move(system));
}

Result<KeyChoice> passphrase_in(const std::string& variable, const EnvironmentLookup& environment) {
  if (auto passphrase = environment(variable)) return KeyChoice{.passphrase = std::move(passphrase)};
  return std::unexpected(
      make_error(ErrorCode::usage, "the variable {} holds no passphrase", variable)
          .with_hint(
              "Set it for this command; --passphrase-env takes the variable's name, not the passphrase."));
}

Result<KeyChoice> choose_key(const SharedFlags& flags, const EnvironmentLookup& environment,
                             const ConfigFile& config) {
  if (flags.key_file) return KeyChoice{.key_file = *flags.key_file};
  if (flags.passphrase_env) return passphrase_in(*flags.passphrase_env, environment);
  if (flags.no_encryption) return KeyChoice{.no_encryption = true};
  const auto file = environment("PGSTRATA_KEY_FILE");
  auto passphrase = environment("PGSTRATA_PASSPHRASE");
  if (file && passphrase) {
    return std::unexpected(
        make_error(ErrorCode::usage, "PGSTRATA_KEY_FILE and PGSTRATA_PASSPHRASE are both set")
            .with_hint("Unset one of them, or give --key-file or --passphrase-env."));
  }
  if (file) return KeyChoice{.key_file = *file};
  if (passphrase) return KeyChoice{.passphrase = std::move(passphrase)};
  if (config.key_file) return KeyChoice{.key_file = *config.key_file};
  if (config.passphrase_env) return passphrase_in(*config.passphrase_env, environment);
  return KeyChoice{};
}

// Root's is the system's; anybody else's is where his programs keep their state.
std::filesystem::path state_directory_named(const EnvironmentLookup& environment, const ConfigFile& config) {
  auto named = environment("PGSTRATA_STATE_DIR");
  if (!named) named = config.state_dir;
  if (named) return *named;
  if (::geteuid() == 0) return "/var/lib/pgstrata";
  if (const auto state = environment("XDG_STATE_HOME")) return std::filesystem::path(*state) / "pgstrata";
  const auto home = environment("HOME");
  return std::filesystem::path(home.value_or("/tmp")) / ".local/state/pgstrata";
}

}  // namespace

Result<Settings> resolve_settings(const SharedFlags& flags, const EnvironmentLookup& environment,
                                  const std::filesystem::path& system_config) {
  PGS_TRY(const ConfigFile config, read_config_files(flags, environment, system_config));
  Settings settings;
  settings.repo = flags.repo ? flags.repo : environment("PGSTRATA_REPO");
  if (!settings.repo) settings.repo = config.repo;
  PGS_TRY(settings.key, choose_key(flags, environment, config));
  // As the kernel names what is in it: mounts, and where processes work. Where this user may not look, he has no
  // branches, and most commands do without.
  const auto named = state_directory_named(environment, config);
  settings.state_directory = resolved_path(named).value_or(std::filesystem::path(named).lexically_normal());
  settings.retention = config.retention;
  settings.log = flags.verbose ? Severity::debug : config.log.value_or(Severity::info);
  return settings;
}

Result<std::string> required_repository(const Settings& settings) {
  if (settings.repo) return *settings.repo;
  return std::unexpected(
      make_error(ErrorCode::usage, "no repository was named")
          .with_hint(fmt::format("Give --repo, set PGSTRATA_REPO, or write repo = \"...\" into {}.",
                                 system_config_path)));
}

}  // namespace pgstrata
