#include "restore/recovery_settings.h"

#include <algorithm>
#include <array>

#include "restore/recovery_kit.h"
#include "restore/restored_configuration.h"

namespace pgstrata {
namespace {

constexpr std::string_view auto_conf = "postgresql.auto.conf";
constexpr std::string_view block_begin = "# --- pgstrata restore: begin ---";
constexpr std::string_view block_end = "# --- pgstrata restore: end ---";
constexpr std::size_t configuration_limit_bytes = 16U << 20;
constexpr std::string_view synchronous_standbys = "synchronous_standby_names";
constexpr std::string_view archive_mode = "archive_mode";
constexpr std::string_view external_pid_file = "external_pid_file";
// The kinds of target, of which a server takes one at most.
constexpr std::array<std::string_view, 5> target_names{"recovery_target", "recovery_target_time",
                                                       "recovery_target_lsn", "recovery_target_xid",
                                                       "recovery_target_name"};
// What else postgresql.conf may still say of another recovery, and the values that undo it.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> neutral_values{
    {{"archive_cleanup_command", ""}, {"recovery_end_command", ""}, {"recovery_min_apply_delay", "0"}}};
// Of no use once recovery has ended, as are those above.
constexpr std::array<std::string_view, 4> recovery_names{
    "restore_command", "recovery_target_timeline", "recovery_target_inclusive", "recovery_target_action"};
// With its comment it is told from one of the operator's.
constexpr std::string_view hot_standby_line = "hot_standby = 'off'  # while it recovers";
constexpr std::string_view synchronous_standbys_comment =
    "# This copy has no standbys that a commit could wait for. Once it has some:\n"
    "# ALTER SYSTEM RESET synchronous_standby_names\n";

constexpr std::string_view archive_mode_comment =
    "# This copy must not write into the archive of the cluster it came from. Once it takes its place:\n"
    "# ALTER SYSTEM RESET archive_mode\n";

constexpr std::string_view external_pid_file_comment =
    "# Nor over its process id. Once it takes its place:\n"
    "# ALTER SYSTEM RESET external_pid_file\n";

// As postgresql.conf takes it.
std::string quoted(std::string_view value) {
  std::string text = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') text += c;
    text += c;
  }
  return text + "'";
}

std::string setting(std::string_view name, std::string_view value) {
  return fmt::format("{} = {}\n", name, quoted(value));
}

// For the shell, within restore_command, where "%" starts a placeholder.
std::string shell_word(const std::string& path) {
  std::string text = "\"";
  for (const char c : path) {
    if (std::string_view("\"\\$`").find(c) != std::string_view::npos) text += '\\';
    text += c;
    if (c == '%') text += '%';
  }
  return text + "\"";
}

std::pair<std::string_view, std::string> stop_setting(const TargetPoint& stop) {
  if (const auto* time = std::get_if<TimeTarget>(&stop)) {
    auto text = to_display(time->time);  // "2026-11-21 10:00:00.25 UTC"
    text.replace(text.rfind(" UTC"), 4, "+00");
    return {"recovery_target_time", text};
  }
  if (const auto* lsn = std::get_if<LsnTarget>(&stop)) return {"recovery_target_lsn", to_string(lsn->lsn)};
  if (const auto* xid = std::get_if<XidTarget>(&stop)) {
    return {"recovery_target_xid", fmt::format("{}", xid->xid)};
  }
  return {"recovery_target_name", std::get<RestorePointTarget>(stop).name};
}

// Nothing for the kinds of target that this is none of, and before it: the server refuses to take note of a
// second kind once it has one, even to hear that there is none.
std::string target_settings(const RecoveryPlan& plan) {
  std::pair<std::string_view, std::string> stop;
  if (plan.stop) stop = stop_setting(*plan.stop);
  std::string text;
  for (const auto name : target_names) {
    if (name != stop.first) text += setting(name, "");
  }
  if (!plan.stop) return text;
  text += setting(stop.first, stop.second);
  if (!std::holds_alternative<RestorePointTarget>(*plan.stop)) {
    text += setting("recovery_target_inclusive", plan.target.inclusive ? "on" : "off");
  }
  return text + setting("recovery_target_action", "promote");
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// The name that a line of configuration sets, in lower case; empty for all other lines.
std::string name_set_by(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const auto name = line.substr(0, line.find_first_of(" \t="));
  return name.starts_with('#') ? std::string() : lower_case(name);
}

// Whether the operator's settings leave `name` to us.
bool is_left_to_us(const RecoverySettings& settings, std::string_view name) {
  return std::ranges::none_of(settings.operator_settings,
                              [&](const auto& setting) { return lower_case(setting.first) == name; });
}

bool decides_hot_standby(const std::pair<std::string, std::string>& setting) {
  const auto name = lower_case(setting.first);
  return name == "hot_standby" || (name == "recovery_target_action" && lower_case(setting.second) == "pause");
}

// All the ways to say so that PostgreSQL knows.
bool is_off(std::string_view value) {
  static constexpr std::array<std::string_view, 10> words{"0",    "n",  "no",  "f",   "fa",
                                                          "fals", "of", "off", "fal", "false"};
  return std::ranges::find(words, lower_case(value)) != words.end();
}

template <class Drop>
std::string filter_lines(std::string_view text, const Drop& drop) {
  std::string kept;
  while (!text.empty()) {
    const auto size = std::min(text.find('\n'), text.size() - 1) + 1;
    const auto line = text.substr(0, size);
    text.remove_prefix(size);
    if (drop(line.substr(0, line.find_last_not_of("\r\n") + 1))) continue;
    kept += line;
    if (!kept.ends_with('\n')) kept += '\n';
  }
  return kept;
}

bool is_recovery_name(std::string_view name) {
  return std::ranges::find(recovery_names, name) != recovery_names.end() ||
         std::ranges::find(target_names, name) != target_names.end() ||
         std::ranges::find(neutral_values, name, [](const auto& value) { return value.first; }) !=
             neutral_values.end();
}

// What it takes to reach the plan's end: set to anything else, recovery would end elsewhere or nowhere. A file
// that is included could set it.
bool decides_the_target(std::string_view name) {
  return name.starts_with("include") || name == "restore_command" || name == "recovery_target_timeline" ||
         name == "recovery_target_inclusive" || std::ranges::find(target_names, name) != target_names.end();
}

Result<std::string> read_if_there(const TargetDirectory& data, std::string_view name) {
  const auto content = data.read(name, configuration_limit_bytes);
  if (!content && content.error().code() == ErrorCode::not_found) return std::string();
  if (!content) return std::unexpected(content.error());
  return std::string(as_text(*content));
}

bool is_setting_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.';
  });
}

}  // namespace

AtTarget action_at_target(const std::vector<std::pair<std::string, std::string>>& operator_settings) {
  auto action = AtTarget::promote;
  bool hot_standby = true;
  for (const auto& [name, value] : operator_settings) {
    const auto known = lower_case(name);
    if (known == "hot_standby") hot_standby = !is_off(value);
    if (known != "recovery_target_action") continue;
    const auto word = lower_case(value);
    action = word == "pause" ? AtTarget::pause : word == "shutdown" ? AtTarget::shutdown : AtTarget::promote;
  }
  // As PostgreSQL takes it: nobody could come in to end the pause.
  return action == AtTarget::pause && !hot_standby ? AtTarget::shutdown : action;
}

Result<std::string> recovery_settings_block(const RecoveryPlan& plan, const RecoverySettings& settings) {
  std::string text = fmt::format("{}\n", block_begin);
  text += setting("restore_command", fmt::format("{} wal-fetch --kit {} %f \"%p\"",
                                                 shell_word(settings.program.native()), kit_file));
  text += setting("recovery_target_timeline", fmt::format("{}", plan.timeline));
  text += target_settings(plan);
  for (const auto& [name, value] : neutral_values) text += setting(name, value);
  if (std::ranges::none_of(settings.operator_settings, decides_hot_standby))
    text += fmt::format("{}\n", hot_standby_line);
  if (is_left_to_us(settings, synchronous_standbys)) {
    text += synchronous_standbys_comment;
    text += setting(synchronous_standbys, "");
  }
  if (is_left_to_us(settings, archive_mode)) {
    text += archive_mode_comment;
    text += setting(archive_mode, "off");
  }
  if (settings.has_external_pid_file && is_left_to_us(settings, external_pid_file)) {
    text += external_pid_file_comment;
    text += setting(external_pid_file, "");
  }
  for (const auto& [name, value] : settings.operator_settings) {
    if (!is_setting_name(name)) return fail(ErrorCode::usage, "\"{}\" is not the name of a setting", name);
    if (decides_the_target(lower_case(name))) {
      return std::unexpected(
          make_error(ErrorCode::usage, "{} is set by the restore itself", name)
              .with_hint(
                  "Say where recovery is to end with --at, --lsn, --xid, --restore-point or --latest, with "
                  "--exclusive and --timeline."));
    }
    if (value.find_first_of("\r\n") != std::string::npos) {
      return fail(ErrorCode::usage, "the value of {} has more than one line", name);
    }
    text += setting(name, value);
  }
  return text + fmt::format("{}\n", block_end);
}

std::string without_recovery_settings(std::string_view old) {
  bool in_block = false;
  return filter_lines(old, [&](std::string_view line) {
    if (line == block_begin) in_block = true;
    if (in_block) {
      in_block = line != block_end;
      return true;
    }
    const auto name = name_set_by(line);
    return is_recovery_name(name) || name == synchronous_standbys || name == archive_mode;
  });
}

Result<std::vector<std::string>> write_recovery_settings(const TargetDirectory& data,
                                                         const RecoveryPlan& plan,
                                                         RecoverySettings settings) {
  PGS_TRY(const auto old, read_if_there(data, auto_conf));
  const auto kept = without_recovery_settings(old);
  const auto of_source = read_configuration(data, kept);
  const auto pid_file = of_source.find(std::string(external_pid_file));
  settings.has_external_pid_file = pid_file != of_source.end() && !pid_file->second.empty();
  PGS_TRY(const auto block, recovery_settings_block(plan, settings));
  PGS_CHECK(data.write(auto_conf, as_byte_view(kept + block)));
  PGS_CHECK(data.remove("standby.signal"));
  PGS_CHECK(data.write("recovery.signal", {}));
  return warn_of_places_elsewhere(data, read_configuration(data, kept + block));
}

Result<void> end_recovery_settings(const TargetDirectory& data) {
  PGS_TRY(const auto old, read_if_there(data, auto_conf));
  bool in_block = false;
  const auto kept = filter_lines(old, [&](std::string_view line) {
    if (line == block_begin || line == block_end) in_block = line == block_begin;
    return in_block && (line == hot_standby_line || is_recovery_name(name_set_by(line)));
  });
  if (kept == old) return {};
  return data.write(auto_conf, as_byte_view(kept));
}

std::string source_limits(const ControlFile& control) {
  return fmt::format(
      "max_connections = {}\nmax_worker_processes = {}\nmax_wal_senders = {}\n"
      "max_prepared_transactions = {}\nmax_locks_per_transaction = {}\n",
      control.max_connections, control.max_worker_processes, control.max_wal_senders,
      control.max_prepared_transactions, control.max_locks_per_transaction);
}

Result<std::vector<std::string>> write_missing_configuration(const TargetDirectory& data,
                                                             const ControlFile& control) {
  const std::array<std::pair<std::string_view, std::string>, 3> files{{
      {"postgresql.conf",
       fmt::format(
           "# Written by pgstrata restore: the cluster's own configuration is not in its data directory.\n"
           "# The source's limits when it was backed up.\n{}",
           source_limits(control))},
      {"pg_hba.conf",
       "# Written by pgstrata restore: the cluster's own rules are not in its data directory.\n"
       "local all all peer\n"},
      {"pg_ident.conf", "# Written by pgstrata restore.\n"},
  }};
  std::vector<std::string> written;
  for (const auto& [name, content] : files) {
    const auto there = data.stat(name);
    if (there) continue;
    if (there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
    PGS_CHECK(data.write(name, as_byte_view(content)));
    written.emplace_back(name);
  }
  return written;
}

}  // namespace pgstrata
