#include "storage/s3/s3_location.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "net/url.h"

namespace pgstrata {
namespace {

constexpr std::string_view scheme = "s3://";
constexpr std::size_t bucket_min_bytes = 3;
constexpr std::size_t bucket_max_bytes = 255;  // 63 at AWS, more elsewhere
constexpr std::size_t prefix_max_bytes = 256;

std::unexpected<Error> bad_location(std::string_view location, std::string_view why) {
  return std::unexpected(
      make_error(ErrorCode::usage, "\"{}\" is no place for a repository: {}", location, why)
          .with_hint("Write s3://BUCKET/PREFIX, and what is needed of "
                     "?endpoint=https://SERVER&region=REGION&profile=NAME"
                     "&addressing=path|virtual&ca=FILE&storage-class=CLASS&sse=AES256|aws:kms&kms-key=ID&"
                     "bandwidth=20M."));
}

std::string_view fault_of_bucket(std::string_view bucket) {
  const auto fit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  if (bucket.empty()) return "it names no bucket";
  if (bucket.size() < bucket_min_bytes || bucket.size() > bucket_max_bytes ||
      !std::ranges::all_of(bucket, fit) || bucket.front() == '.' || bucket.front() == '-') {
    return "no bucket can be called that";
  }
  return {};
}

std::string_view fault_of_prefix(std::string_view prefix) {
  if (prefix.size() > prefix_max_bytes) return "its prefix is longer than 256 bytes";
  if (std::ranges::any_of(prefix,
                          [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; })) {
    return "its prefix has a character that does not print";
  }
  while (!prefix.empty()) {
    const std::string_view part = prefix.substr(0, prefix.find('/'));
    if (part.empty() || part == "." || part == "..")
      return "its prefix has a part that is empty, \".\" or \"..\"";
    prefix.remove_prefix(std::min(prefix.size(), part.size() + 1));
  }
  return {};
}

// "20M". Nothing when it is none, or 0.
std::optional<std::uint64_t> parse_byte_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value == 0) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  constexpr std::string_view units = "KMG";
  if (unit.empty()) return value;
  const std::size_t at = units.find(unit.front());
  if (unit.size() != 1 || at == std::string_view::npos) return std::nullopt;
  const std::uint64_t factor = std::uint64_t{1} << (10 * (at + 1));
  if (value > UINT64_MAX / factor) return std::nullopt;
  return value * factor;
}

bool is_plain(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

// Sets one of what may follow the "?"; what is wrong with it where something is.
std::string set_option(S3Location& place, const std::string& name, const std::string& value) {
  if (name == "endpoint") {
    auto origin = parse_origin(value);
    if (!origin) return origin.error().message();
    place.endpoint = *std::move(origin);
  } else if (name == "region") {
    place.region = value;
  } else if (name == "profile") {
    place.profile = value;
  } else if (name == "addressing") {
    if (value != "path" && value != "virtual") return "addressing is \"path\" or \"virtual\"";
    place.addressing = value == "path" ? S3Addressing::path : S3Addressing::virtual_host;
  } else if (name == "ca") {
    if (value.empty()) return "ca names no file";
    place.ca_file = std::filesystem::absolute(value).native();
  } else if (name == "storage-class") {
    place.storage_class = value;
  } else if (name == "sse") {
    if (value != "AES256" && value != "aws:kms") return "sse is \"AES256\" or \"aws:kms\"";
    place.encryption = value;
  } else if (name == "kms-key") {
    place.kms_key = value;
  } else if (name == "bandwidth") {
    const auto count = parse_byte_count(value);
    if (!count) return fmt::format("bandwidth is a number of bytes a second, as 20M, and not \"{}\"", value);
    place.bandwidth_bytes_per_second = *count;
  } else {
    return fmt::format("there is no \"{}\" to be said of it", name);
  }
  if (!is_plain(value) && name != "ca") return fmt::format("\"{}\" cannot be its {}", value, name);
  return {};
}

std::string set_options(S3Location& place, const HttpQuery& options) {
  for (auto option = options.begin(); option != options.end(); ++option) {
    const bool again = std::any_of(options.begin(), option,
                                   [&](const auto& earlier) { return earlier.first == option->first; });
    if (again) return fmt::format("it has two of \"{}\"", option->first);
    if (auto fault = set_option(place, option->first, option->second); !fault.empty()) return fault;
  }
  if (!place.kms_key.empty() && place.encryption != "aws:kms") return "kms-key goes with sse=aws:kms";
  return {};
}

}  // namespace

bool is_s3_location(std::string_view location) {
  return location.starts_with(scheme);
}

Result<S3Location> parse_s3_location(std::string_view location) {
  if (!is_s3_location(location)) return bad_location(location, "it does not begin with s3://");
  std::string_view rest = location.substr(scheme.size());
  const std::size_t question = std::min(rest.find('?'), rest.size());
  auto options = parse_url_query(rest.substr(std::min(rest.size(), question + 1)));
  if (!options) return bad_location(location, options.error().message());
  rest = rest.substr(0, question);

  S3Location place;
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  place.bucket = rest.substr(0, slash);
  rest = rest.substr(std::min(rest.size(), slash + 1));
  if (rest.ends_with('/')) rest.remove_suffix(1);
  auto prefix = url_decode(rest);
  if (!prefix) return bad_location(location, prefix.error().message());
  place.prefix = *std::move(prefix);
  for (const std::string_view fault : {fault_of_bucket(place.bucket), fault_of_prefix(place.prefix)}) {
    if (!fault.empty()) return bad_location(location, fault);
  }
  if (const std::string fault = set_options(place, *options); !fault.empty())
    return bad_location(location, fault);
  return place;
}

std::string to_string(const S3Location& location) {
  std::string text = fmt::format("{}{}", scheme, location.bucket);
  if (!location.prefix.empty()) text += "/" + url_encode_path(location.prefix);
  std::string options;
  const auto add = [&options](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    // What reads well and is no danger in a query stays.
    std::string encoded;
    for (const char c : value)
      encoded += (std::string_view(":/[]").find(c) != std::string_view::npos)
                     ? std::string(1, c)
                     : url_encode(std::string_view(&c, 1));
    options += fmt::format("{}{}={}", options.empty() ? '?' : '&', name, encoded);
  };
  add("endpoint", location.endpoint);
  add("region", location.region);
  add("profile", location.profile);
  if (location.addressing) add("addressing", *location.addressing == S3Addressing::path ? "path" : "virtual");
  add("ca", location.ca_file);
  add("storage-class", location.storage_class);
  add("sse", location.encryption);
  add("kms-key", location.kms_key);
  if (location.bandwidth_bytes_per_second != 0)
    add("bandwidth", std::to_string(location.bandwidth_bytes_per_second));
  return text + options;
}

}  // namespace pgstrata
