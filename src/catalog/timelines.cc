#include "catalog/timelines.h"

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "repo/record.h"

namespace pgstrata {

namespace {

constexpr std::string_view timelines_prefix = "timelines/";
constexpr std::string_view aside_suffix = ".aside";

std::string history_name(TimelineId timeline) {
  return fmt::format("{}{:08X}", timelines_prefix, timeline.value);
}

std::string aside_name(TimelineId timeline) {
  return history_name(timeline) + std::string(aside_suffix);
}

// Of the objects timelines/TTTTTTTT followed by `suffix`.
Result<std::vector<TimelineId>> list_timelines(const ClusterSpace& space, std::string_view suffix) {
  PGS_TRY(const auto objects, space.list(timelines_prefix));
  std::vector<TimelineId> timelines;
  for (const auto& object : objects) {
    const auto text = std::string_view(object.name).substr(timelines_prefix.size());
    TimelineId timeline;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), timeline.value, 16);
    const auto rest = text.substr(static_cast<std::size_t>(end - text.data()));
    if (error == std::errc() && rest == suffix) timelines.push_back(timeline);
  }
  return timelines;
}

Result<bool> is_set_aside(const ClusterSpace& space, TimelineId timeline) {
  const auto mark = get_record(space, aside_name(timeline), RecordKind::timeline_set_aside);
  if (mark) return true;
  if (mark.error().code() == ErrorCode::not_found) return false;
  if (mark.error().code() != ErrorCode::damaged) return std::unexpected(mark.error());
  log_warning("{}; timeline {} counts as the cluster's", mark.error().describe(), timeline);
  return false;
}

Result<void> set_aside(const ClusterSpace& space, TimelineId timeline) {
  PGS_TRY(const bool already, is_set_aside(space, timeline));
  const auto name = space.object_name(aside_name(timeline));
  if (already) return space.store().make_names_durable(name);
  PGS_CHECK(space.store().remove(name));
  return put_record(space, aside_name(timeline), RecordKind::timeline_set_aside, {});
}

}  // namespace

Result<void> put_timeline_history(const ClusterSpace& space, TimelineId timeline, ByteView content) {
  const auto object = space.object_name(history_name(timeline));
  const auto stored = get_timeline_history(space, timeline);
  if (!stored) {
    if (!is_lasting_damage(stored.error())) return std::unexpected(stored.error());
    log_error("{}; it makes room for what the source has", stored.error().describe());
    PGS_CHECK(space.store().remove(object));
  } else if (*stored && std::ranges::equal(**stored, content)) {
    return space.store().make_names_durable(object);
  } else if (*stored) {
    return std::unexpected(
        make_error(ErrorCode::already_exists, "timeline {} already has another history here", timeline)
            .with_hint("Two servers were promoted from this cluster on their own. Add the second as a "
                       "cluster of its "
                       "own with `pgstrata add`."));
  }
  return put_record(space, history_name(timeline), RecordKind::timeline_history, content);
}

Result<std::optional<Bytes>> get_timeline_history(const ClusterSpace& space, TimelineId timeline) {
  auto content = get_record(space, history_name(timeline), RecordKind::timeline_history);
  if (!content && content.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!content) return std::unexpected(std::move(content).error());
  PGS_CHECK(parse_timeline_history(timeline, as_text(*content)).context(history_name(timeline)));
  return std::optional(std::move(*content));
}

Result<TimelineHistory> stored_history(const ClusterSpace& space, TimelineId timeline) {
  PGS_TRY(const auto content, get_timeline_history(space, timeline));
  if (!content) return TimelineHistory{timeline, {}};
  return parse_timeline_history(timeline, as_text(*content));
}

Result<std::vector<TimelineStretch>> timeline_ancestry(const ClusterSpace& space, TimelineId timeline) {
  PGS_TRY(const auto history, stored_history(space, timeline));
  std::vector<TimelineStretch> path;
  Lsn from;
  for (const auto& ancestor : history.ancestors) {
    path.push_back({ancestor.timeline, from, ancestor.end});
    from = ancestor.end;
  }
  path.push_back({timeline, from, no_end});
  return path;
}

Result<std::vector<TimelineId>> list_timeline_histories(const ClusterSpace& space) {
  return list_timelines(space, {});
}

Result<void> make_timeline_current(const ClusterSpace& space, TimelineId timeline,
                                   const std::set<TimelineId>& known) {
  PGS_TRY(const auto history, stored_history(space, timeline));
  for (const auto& ancestor : history.ancestors) {
    PGS_CHECK(space.store().remove(space.object_name(aside_name(ancestor.timeline))));
  }
  PGS_CHECK(space.store().remove(space.object_name(aside_name(timeline))));
  for (const auto other : known) {
    if (other > timeline) PGS_CHECK(set_aside(space, other));
  }
  return {};
}

Result<std::set<TimelineId>> timelines_set_aside(const ClusterSpace& space) {
  PGS_TRY(const auto marked, list_timelines(space, aside_suffix));
  std::set<TimelineId> timelines;
  for (const auto timeline : marked) {
    PGS_TRY(const bool aside, is_set_aside(space, timeline));
    if (aside) timelines.insert(timeline);
  }
  return timelines;
}

Result<std::map<TimelineId, Error>> damaged_marks(const ClusterSpace& space) {
  PGS_TRY(const auto marked, list_timelines(space, aside_suffix));
  std::map<TimelineId, Error> damaged;
  for (const auto timeline : marked) {
    auto mark = get_record(space, aside_name(timeline), RecordKind::timeline_set_aside);
    if (mark || mark.error().code() == ErrorCode::not_found) continue;
    if (mark.error().code() != ErrorCode::damaged) return std::unexpected(std::move(mark).error());
    damaged.emplace(timeline, std::move(mark).error());
  }
  return damaged;
}

Result<std::optional<TimelineId>> current_timeline(const ClusterSpace& space,
                                                   const std::set<TimelineId>& timelines) {
  if (timelines.empty()) return std::nullopt;
  PGS_TRY(const auto aside, timelines_set_aside(space));
  const auto own = std::find_if(timelines.rbegin(), timelines.rend(),
                                [&](const auto timeline) { return !aside.contains(timeline); });
  return own == timelines.rend() ? *timelines.rbegin() : *own;
}

}  // namespace pgstrata
