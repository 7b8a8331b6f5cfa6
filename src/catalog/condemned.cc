#include "catalog/condemned.h"

#include <algorithm>

#include "base/log.h"
#include "catalog/json_record.h"
#include "catalog/lease_names.h"
#include "catalog/snapshot_record.h"
#include "repo/lease.h"
#include "storage/brief_attempts.h"

namespace pgstrata {
namespace {

constexpr std::string_view condemned_prefix = "condemned/";
constexpr std::string_view witness_suffix = ".witness";

std::string note_name(std::string_view id) {
  return fmt::format("{}{}", condemned_prefix, id);
}
std::string witness_name(std::string_view id) {
  return fmt::format("{}{}{}", condemned_prefix, id, witness_suffix);
}

Json json_of_note(const CondemnedNote& note) {
  Json json = {{"created", note.created.micros},
               {"snapshots", note.snapshots},
               {"packs", Json::array()},
               {"wal", Json::array()}};
  for (const PackId& pack : note.packs) json["packs"].push_back(to_string(pack));
  for (const auto& [timeline, start] : note.segments)
    json["wal"].push_back({{"timeline", timeline.value}, {"start", start.value}});
  return json;
}

CondemnedNote note_in(const Json& json) {
  CondemnedNote note;
  note.created = timestamp_in(json, "created");
  json.at("snapshots").get_to(note.snapshots);
  for (const Json& pack : json.at("packs")) {
    auto id = parse_pack_id(pack.get<std::string>());
    if (!id) throw Json::other_error::create(501, id.error().message(), &json);
    note.packs.push_back(*id);
  }
  for (const Json& segment : json.at("wal"))
    note.segments.emplace(TimelineId{segment.at("timeline").get<std::uint32_t>()}, lsn_in(segment, "start"));
  return note;
}

Result<CondemnedNote> get_note(const ClusterSpace& space, std::string_view id) {
  PGS_TRY(const Bytes payload, get_record(space, note_name(id), RecordKind::condemned));
  PGS_TRY(CondemnedNote note, decode_json(payload, space.object_name(note_name(id)), note_in));
  note.id = id;
  return note;
}

// By lease: which holding of it there was when the witness was taken; empty for none.
using Witness = std::vector<std::pair<std::string, std::string>>;

Result<Witness> look_for_witness(const ClusterSpace& space) {
  Witness witness;
  for (const char* lease : publishers_lease_names) {
    PGS_TRY(std::string holding, lease_holding(space, lease));
    witness.emplace_back(lease, std::move(holding));
  }
  return witness;
}

// As it was first written, by whomever.
Result<Witness> get_or_put_witness(const ClusterSpace& space, std::string_view id) {
  auto payload = get_record(space, witness_name(id), RecordKind::condemned_witness);
  if (!payload && payload.error().code() != ErrorCode::not_found)
    return std::unexpected(std::move(payload).error());
  if (!payload) {
    PGS_TRY(const Witness seen, look_for_witness(space));
    Json json = Json::object();
    for (const auto& [lease, holding] : seen) json[lease] = holding;
    const auto put = put_record(space, witness_name(id), RecordKind::condemned_witness, encode_json(json));
    if (put) return seen;
    if (put.error().code() != ErrorCode::already_exists) return std::unexpected(put.error());
    PGS_TRY(payload, get_record(space, witness_name(id), RecordKind::condemned_witness));
  }
  return decode_json(*payload, space.object_name(witness_name(id)), [](const Json& json) {
    Witness witness;
    for (const auto& [lease, holding] : json.items()) witness.emplace_back(lease, holding.get<std::string>());
    return witness;
  });
}

}  // namespace

Result<std::string> put_condemned_note(const ClusterSpace& space, CondemnedNote note, const Clock& clock) {
  note.created = clock.now();
  note.id = new_snapshot_id(note.created);
  PGS_CHECK(put_record(space, note_name(note.id), RecordKind::condemned, encode_json(json_of_note(note))));
  return note.id;
}

Result<std::vector<CondemnedNote>> list_condemned_notes(const ClusterSpace& space) {
  PGS_TRY(const auto objects, space.list(condemned_prefix));
  std::vector<CondemnedNote> notes;
  for (const auto& object : objects) {
    if (object.name.ends_with(witness_suffix)) continue;
    auto note = get_note(space, std::string_view(object.name).substr(condemned_prefix.size()));
    if (note) {
      notes.push_back(*std::move(note));
    } else if (is_lasting_damage(note.error())) {
      auto hint = fmt::format("`pgstrata prune {}` removes it.", space.name());
      return std::unexpected(std::move(note).error().with_hint(std::move(hint)));
    } else if (note.error().code() != ErrorCode::not_found) {
      return std::unexpected(std::move(note).error());
    }
  }
  return notes;
}

Result<void> remove_condemned_note(const ClusterSpace& space, std::string_view id,
                                   const PublishingAllowed& still_allowed) {
  for (const std::string& name : {witness_name(id), note_name(id)}) {
    PGS_CHECK(still_allowed());
    const BriefAttempts brief(publishing_limit);
    PGS_CHECK(space.store().remove(space.object_name(name)));
  }
  return {};
}

Result<void> remove_damaged_notes(const ClusterSpace& space, const PublishingAllowed& still_allowed) {
  PGS_TRY(const auto objects, space.list(condemned_prefix));
  for (const auto& object : objects) {
    const auto kind =
        object.name.ends_with(witness_suffix) ? RecordKind::condemned_witness : RecordKind::condemned;
    const auto content = get_record(space, object.name, kind);
    if (content || !is_lasting_damage(content.error())) continue;
    log_warning("{}; it is removed", content.error().describe());
    PGS_CHECK(still_allowed());
    PGS_CHECK(space.store().remove(space.object_name(object.name)));
  }
  return {};
}

Result<void> remove_lone_witnesses(const ClusterSpace& space, const PublishingAllowed& still_allowed) {
  PGS_TRY(const auto objects, space.list(condemned_prefix));
  std::set<std::string_view> names;
  for (const auto& object : objects) names.insert(object.name);
  for (const std::string_view name : names) {
    if (!name.ends_with(witness_suffix)) continue;
    if (names.contains(name.substr(0, name.size() - witness_suffix.size()))) continue;
    PGS_CHECK(still_allowed());
    const BriefAttempts brief(publishing_limit);
    PGS_CHECK(space.store().remove(space.object_name(name)));
  }
  return {};
}

Result<std::optional<std::string>> unaware_of(const ClusterSpace& space, const CondemnedNote& note) {
  PGS_TRY(const Witness witness, get_or_put_witness(space, note.id));
  for (const auto& [lease, holding] : witness) {
    if (holding.empty()) continue;
    PGS_TRY(const std::string now, lease_holding(space, lease));
    if (now == holding) return lease;
  }
  return std::nullopt;
}

Result<Condemned> load_condemned(const ClusterSpace& space) {
  PGS_TRY(const auto notes, list_condemned_notes(space));
  Condemned all;
  for (const CondemnedNote& note : notes) {
    all.snapshots.insert(note.snapshots.begin(), note.snapshots.end());
    all.packs.insert(note.packs.begin(), note.packs.end());
    all.segments.insert(note.segments.begin(), note.segments.end());
  }
  return all;
}

}  // namespace pgstrata
