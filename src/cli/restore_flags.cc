#include "cli/restore_flags.h"

#include "cli/setting_argument.h"

namespace pgstrata {
// As pg_basebackup takes it: "\=" is a sign that belongs to a path.
Result<TablespaceMapping> parse_tablespace_argument(const std::string& text) {
  TablespaceMapping mapping;
  std::string* to = &mapping.first;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escaped = text.compare(at, 2, "\\=") == 0;
    if (text[at] == '=' && to == &mapping.first) {
      to = &mapping.second;
    } else {
      *to += escaped ? text[++at] : text[at];
    }
  }
  if (mapping.first.empty() || mapping.second.empty()) {
    return fail(ErrorCode::usage, "--tablespace takes two folders with \"=\" between them, not \"{}\"", text);
  }
  return mapping;
}

void add_restore_flags(CLI::App& command, RestoreFlags& flags) {
  add_cluster_argument(command, flags.cluster);
  const std::string group = "Restore";
  command.add_option("--to", flags.directory, "the data directory to write")
      ->type_name("DIR")
      ->required()
      ->group(group);
  command
      .add_flag(
          "--delta", flags.delta,
          "over an existing directory: rewrite only what differs, and remove what the snapshot does not have")
      ->group(group);
  command
      .add_option("--tablespace", flags.tablespaces,
                  "puts the tablespace that was at FROM to TO, \"=\" in a path as \"\\=\"; repeatable")
      ->type_name("FROM=TO")
      ->expected(1)
      ->take_all()
      ->group(group);
  command.add_flag("--start", flags.start, "start the server and wait until it accepts writes")->group(group);
  command.add_option("--set", flags.settings, "a setting of the restored server, e.g. port=6433; repeatable")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->group(group);
  add_target_flags(command, flags.target);
}

Result<RestoreRequest> restore_request(const RestoreFlags& flags, const Clock& clock) {
  RestoreRequest request;
  request.cluster = flags.cluster;
  PGS_TRY(request.target, recovery_target(flags.target, clock));
  if (flags.directory.empty()) return fail(ErrorCode::usage, "--to names no folder");
  std::error_code error;
  request.directory = std::filesystem::absolute(flags.directory, error).lexically_normal();
  if (error)
    return std::unexpected(error_from_errno(error.value(), fmt::format("find \"{}\"", flags.directory)));
  request.delta = flags.delta;
  request.start = flags.start;
  for (const std::string& mapping : flags.tablespaces) {
    PGS_TRY(auto pair, parse_tablespace_argument(mapping));
    request.tablespaces.push_back(std::move(pair));
  }
  for (const std::string& setting : flags.settings) {
    PGS_TRY(auto pair, parse_setting_argument(setting));
    request.settings.push_back(std::move(pair));
  }
  if (request.start && action_at_target(request.settings) == AtTarget::shutdown) {
    return std::unexpected(
        make_error(ErrorCode::usage, "--start does not go with a server that shuts down at the target")
            .with_hint("Leave out --start, or recovery_target_action=shutdown; a pause needs hot_standby."));
  }
  return request;
}

}  // namespace pgstrata
