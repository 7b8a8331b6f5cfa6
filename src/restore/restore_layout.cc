#include "restore/restore_layout.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "pg/format/control_file.h"
#include "pg/format/text_parsing.h"
#include "pg/server/server_instance.h"
#include "pg/server/server_with_tablespace.h"
#include "restore/no_intrusion.h"
#include "snapshot/tablespace_rules.h"

namespace pgstrata {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t marker_limit_bytes = 64U << 10;

std::string normal(const std::string& path) {
  auto text = fs::path(path).lexically_normal().native();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

Error unknown_mapping(const std::string& from, const std::vector<TablespaceEntry>& tablespaces) {
  std::string hint = tablespaces.empty() ? "It has none." : "Its tablespaces are at:";
  for (const auto& tablespace : tablespaces) hint += " " + tablespace.location + ",";
  if (hint.back() == ',') hint.back() = '.';
  return make_error(ErrorCode::usage, "the snapshot has no tablespace at \"{}\"", from)
      .with_hint(std::move(hint));
}

// The system that an unfinished restore here is of; nothing when there is no marker.
Result<std::optional<SystemIdentifier>> marked_system(const TargetDirectory& directory) {
  auto content = directory.read(unfinished_marker, marker_limit_bytes);
  if (!content && content.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!content) return std::unexpected(std::move(content).error());
  const auto json = nlohmann::json::parse(as_text(*content), nullptr, false);
  const auto text = json.is_object() ? json.value("system_identifier", "") : std::string();
  return SystemIdentifier{parse_decimal<std::uint64_t>(text).value_or(0)};
}

Result<void> check_no_server(const fs::path& data_directory) {
  const auto server = ServerInstance::attach(data_directory);
  if (!server && server.error().code() == ErrorCode::not_found) return {};
  if (!server) return std::unexpected(server.error());
  return std::unexpected(make_error(ErrorCode::busy, "a PostgreSQL server is running in \"{}\" (process {})",
                                    data_directory.native(), server->pid())
                             .with_hint("Stop it first, or restore into another folder."));
}

// Whether what is in the folder may be restored over.
Result<void> check_data_directory(const TargetDirectory& data, const SnapshotRecord& snapshot, bool delta) {
  const auto shown = data.path().native();
  PGS_CHECK(check_no_server(data.path()));
  PGS_TRY(const auto marked, marked_system(data));
  if (marked) {
    if (*marked == snapshot.system_identifier) return {};
    return fail(ErrorCode::usage, "\"{}\" holds an unfinished restore of another cluster (system {})", shown,
                *marked);
  }
  if (!delta) {
    return std::unexpected(
        make_error(ErrorCode::already_exists, "\"{}\" is not empty", shown)
            .with_hint(
                "Choose an empty folder, or remove what is there; `pgstrata restore --delta` turns it into "
                "the restored cluster."));
  }
  const auto bytes = data.read("global/pg_control", control_file_size_bytes);
  const auto control =
      bytes ? parse_control_file(*bytes) : Result<ControlFile>(std::unexpected(bytes.error()));
  if (!control) {
    return std::unexpected(make_error(ErrorCode::usage,
                                      "\"{}\" is not empty and no PostgreSQL data directory: {}", shown,
                                      control.error().message())
                               .with_hint("--delta only overwrites a data directory of the same cluster."));
  }
  if (control->system_identifier != snapshot.system_identifier) {
    return std::unexpected(make_error(ErrorCode::usage,
                                      "\"{}\" is the data directory of another cluster (system {}, "
                                      "not {})",
                                      shown, control->system_identifier, snapshot.system_identifier)
                               .with_hint("--delta only overwrites a data directory of the same cluster."));
  }
  return {};
}

Result<void> check_tablespace(const TargetDirectory& directory, const TablespacePlace& place,
                              const SnapshotRecord& snapshot, const TargetDirectory& data,
                              bool may_continue) {
  const auto shown = place.location.native();
  const auto of_source = std::ranges::find(snapshot.tablespaces, place.oid, &TablespaceEntry::oid);
  const auto source = of_source == snapshot.tablespaces.end() ? shown : of_source->location;
  const auto taken = [&](std::string_view why) {
    return std::unexpected(
        make_error(ErrorCode::already_exists, "the place of tablespace {}, \"{}\", {}", place.oid, shown, why)
            .with_hint(fmt::format("Give it another place: --tablespace {}=/new/folder", source)));
  };
  PGS_TRY(const auto entries, directory.list(""));
  if (entries.empty()) return {};  // a server that has it as a tablespace has a folder in it
  PGS_TRY(const auto user, server_with_tablespace(place.location));
  if (user) return taken(fmt::format("is used by the server in \"{}\"", user->native()));
  PGS_TRY(const auto marked, marked_system(directory));
  if (marked && *marked == snapshot.system_identifier) return {};
  if (!may_continue) return taken("is not empty");
  const auto linked = data.read_link(fmt::format("pg_tblspc/{}", place.oid));
  if (!linked && linked.error().code() != ErrorCode::not_found) return std::unexpected(linked.error());
  return linked && normal(*linked) == normal(shown) ? Result<void>() : taken("is not empty");
}

Result<void> check_place(const fs::path& place) {
  if (is_repository(place)) return fail(ErrorCode::usage, "\"{}\" is a repository", place.native());
  return check_no_intrusion(place);
}

Result<bool> holds_anything(const TargetDirectory& directory) {
  PGS_TRY(const auto entries, directory.list(""));
  return !entries.empty();
}

}  // namespace

bool leads_into(const fs::path& path, const fs::path& folder) {
  const auto found = resolved_path(path);
  const auto place = resolved_path(folder);
  return found && place && std::ranges::mismatch(*place, *found).in1 == place->end();
}

Result<std::vector<TablespacePlace>> place_tablespaces(const std::vector<TablespaceEntry>& tablespaces,
                                                       const std::vector<TablespaceMapping>& mappings,
                                                       const fs::path& data_directory) {
  std::map<std::string, std::string> map;
  for (const auto& [from, to] : mappings) {
    const auto known = std::ranges::find(tablespaces, normal(from),
                                         [](const auto& tablespace) { return normal(tablespace.location); });
    if (known == tablespaces.end()) return std::unexpected(unknown_mapping(from, tablespaces));
    if (!to.starts_with('/'))
      return fail(ErrorCode::usage, "the tablespace location \"{}\" is not absolute", to);
    map[normal(from)] = normal(to);
  }
  std::vector<TablespacePlace> places;
  std::set<fs::path> used;
  for (const auto& tablespace : tablespaces) {
    const auto from = normal(tablespace.location);
    const auto mapped = map.find(from);
    if (const auto fault = fault_of_location(tablespace.location); fault && mapped == map.end()) {
      return std::unexpected(
          make_error(ErrorCode::failed, "the snapshot has tablespace {} at {:?}, which {}", tablespace.oid,
                     tablespace.location, *fault)
              .with_hint(
                  "PostgreSQL keeps none at such a place. Give it another: --tablespace FROM=/new/folder"));
    }
    const auto to = mapped == map.end() ? from : mapped->second;
    PGS_TRY(const auto found, resolved_path(to));
    if (!used.insert(found).second) return fail(ErrorCode::usage, "two tablespaces would share \"{}\"", to);
    if (leads_into(to, data_directory)) {
      return std::unexpected(make_error(ErrorCode::usage, "the tablespace location \"{}\" lies within \"{}\"",
                                        to, data_directory.native())
                                 .with_hint(fmt::format("--tablespace {}=/new/folder", from)));
    }
    places.push_back({tablespace.oid, to});
  }
  return places;
}

Bytes write_marker(const SnapshotRecord& snapshot, Oid tablespace) {
  const nlohmann::json json{{"format", "pgstrata unfinished restore"},
                            {"version", 1},
                            {"system_identifier", std::to_string(snapshot.system_identifier.value)},
                            {"snapshot", snapshot.id},
                            {"tablespace", tablespace.value},
                            {"note",
                             "A restore by pgstrata is at work here or was interrupted. Run the same "
                             "`pgstrata restore` again: it goes on from what is there."}};
  return to_bytes(json.dump(2) + "\n");
}

Result<RestoreLayout> RestoreLayout::prepare(const SnapshotRecord& snapshot, const Options& options) {
  PGS_TRY(const auto places,
          place_tablespaces(snapshot.tablespaces, options.mappings, options.data_directory));
  PGS_CHECK(check_place(options.data_directory));
  for (const auto& place : places) PGS_CHECK(check_place(place.location));
  PGS_TRY(const auto owner, choose_owner(options.data_directory));
  PGS_TRY(auto data, TargetDirectory::open_or_make(options.data_directory, owner));
  RestoreLayout layout(std::move(data));
  if (auto taken = layout.take_places(snapshot, places, options.delta); !taken) {
    layout.unmake();
    return std::unexpected(std::move(taken).error());
  }
  return layout;
}

Result<void> RestoreLayout::take_places(const SnapshotRecord& snapshot,
                                        const std::vector<TablespacePlace>& places, bool delta) {
  PGS_TRY(over_existing_, holds_anything(data_));
  if (over_existing_) PGS_CHECK(check_data_directory(data_, snapshot, delta));
  for (const auto& place : places) {
    PGS_TRY(auto directory, TargetDirectory::open_or_make(place.location, data_.owner())
                                .context(fmt::format("place tablespace {}", place.oid)));
    PGS_CHECK(check_tablespace(directory, place, snapshot, data_, over_existing_));
    PGS_TRY(const bool holds, holds_anything(directory));
    over_existing_ = over_existing_ || holds;
    tablespaces_.emplace(place.oid, std::move(directory));
  }
  return {};
}

void RestoreLayout::unmake() const {
  for (const auto& [oid, directory] : tablespaces_) directory.unmake();
  data_.unmake();
}

TargetPath RestoreLayout::resolve(std::string_view path) const {
  if (const auto of_tablespace = parse_tablespace_path(path)) {
    const auto found = tablespaces_.find(of_tablespace->oid);
    if (found != tablespaces_.end()) return {&found->second, std::string(of_tablespace->within)};
  }
  return {&data_, std::string(path)};
}

}  // namespace pgstrata
