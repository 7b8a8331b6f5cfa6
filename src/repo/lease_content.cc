#include "repo/lease_content.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "repo/clear_json.h"
#include "repo/sealed_object.h"

namespace pgstrata {
namespace {

// A forged lease must not make others wait for a day.
constexpr std::uint64_t time_to_live_max_ms = 10ULL * 60 * 1000;

constexpr SealedObjectForm lease_form{
    .magic = lease_magic, .kind = 1, .key_purpose = "lease v1", .content_limit_bytes = 64U << 10};

Result<LeaseContent> parse_fields(const nlohmann::json& json) {
  LeaseContent content;
  PGS_TRY(content.token, text_field(json, "token"));
  PGS_TRY(const std::string process, text_field(json, "process"));
  PGS_TRY(content.holder.process, parse_process_identity(process));
  PGS_TRY(content.holder.purpose, text_field(json, "purpose"));
  PGS_TRY(content.holder.since, time_field(json, "since"));
  PGS_TRY(const std::uint64_t time_to_live_ms, number_field(json, "time_to_live_ms"));
  content.time_to_live = std::chrono::milliseconds(std::min(time_to_live_ms, time_to_live_max_ms));
  const auto released = json.find("released");
  content.released = released != json.end() && released->is_boolean() && released->get<bool>();
  return content;
}

}  // namespace

std::string lease_object_name(std::string_view name) {
  return fmt::format("leases/{}", name);
}

Bytes seal_lease(const ClusterSpace& space, std::string_view name, const LeaseContent& content) {
  const nlohmann::json json = {{"token", content.token},
                               {"process", to_string(content.holder.process)},
                               {"purpose", content.holder.purpose},
                               {"since", to_rfc3339(content.holder.since)},
                               {"time_to_live_ms", static_cast<std::uint64_t>(content.time_to_live.count())},
                               {"released", content.released}};
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return seal_object(space, lease_object_name(name), lease_form, as_byte_view(text));
}

Result<LeaseContent> parse_lease_content(ByteView stored) {
  const std::string_view text = as_text(stored);
  const nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::damaged, "it is no JSON object");
  auto content = parse_fields(json);
  if (!content.has_value()) return fail(ErrorCode::damaged, "{}", content.error().message());
  return content;
}

Result<LeaseContent> open_lease(const ClusterSpace& space, std::string_view name, ByteView object) {
  const std::string object_name = lease_object_name(name);
  const auto advise = [](Error error) {
    return std::unexpected(std::move(error).with_hint(
        "Make sure that no pgstrata is at work on this cluster, then remove this object."));
  };
  auto json = open_sealed_object(space, object_name, lease_form, object);
  if (!json.has_value()) {
    if (json.error().code() != ErrorCode::damaged) return std::unexpected(std::move(json).error());
    return advise(std::move(json).error());
  }
  auto content = parse_lease_content(*json);
  if (!content.has_value()) {
    return advise(make_error(ErrorCode::damaged, "\"{}\" is damaged: {}", space.object_name(object_name),
                             content.error().message()));
  }
  return content;
}

}  // namespace pgstrata
