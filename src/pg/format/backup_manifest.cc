#include "pg/format/backup_manifest.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "codec/digest.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

// "…lines\n" + "\"Manifest-Checksum\": \"HEX\"}\n": the digest is over all before the last line.
Result<void> verify_checksum(std::string_view text) {
  constexpr std::string_view key = "\"Manifest-Checksum\": \"";
  if (!text.ends_with('\n')) return fail(ErrorCode::damaged, "the backup manifest does not end");
  const auto before = text.rfind('\n', text.size() - 2);
  if (before == std::string_view::npos || text.size() < 2) {
    return fail(ErrorCode::damaged, "the backup manifest has one line only");
  }
  auto last = text.substr(before + 1);
  if (!take_prefix(last, key)) return fail(ErrorCode::damaged, "the backup manifest has no checksum");
  const auto expected = from_hex(last.substr(0, last.find('"')));
  const auto actual = sha256(as_byte_view(text.substr(0, before + 1)));
  if (!expected || !std::ranges::equal(*expected, actual)) {
    return fail(ErrorCode::damaged, "the backup manifest has a wrong checksum");
  }
  return {};
}

std::optional<ManifestChecksum> algorithm_from(std::string_view name) {
  for (const auto algorithm : {ManifestChecksum::crc32c, ManifestChecksum::sha224, ManifestChecksum::sha256,
                               ManifestChecksum::sha384, ManifestChecksum::sha512}) {
    if (name == to_string(algorithm)) return algorithm;
  }
  return std::nullopt;
}

std::size_t digest_size(ManifestChecksum algorithm) {
  switch (algorithm) {
    case ManifestChecksum::none:
      return 0;
    case ManifestChecksum::crc32c:
      return 4;
    case ManifestChecksum::sha224:
      return 28;
    case ManifestChecksum::sha256:
      return 32;
    case ManifestChecksum::sha384:
      return 48;
    case ManifestChecksum::sha512:
      return 64;
  }
  return 0;
}

// nlohmann's SAX interface: false stops it. The grammar has three levels: the object, its two lists, their
// objects.
class Walker final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Walker(ManifestHandler& handler) : handler_(handler) {}

  bool null() override { return wrong("null"); }
  bool boolean(bool) override { return wrong("a boolean"); }
  bool number_float(double, const std::string&) override { return wrong("a fraction"); }
  bool binary(binary_t&) override { return wrong("binary"); }
  bool number_integer(std::int64_t) override { return wrong("a negative number"); }
  bool number_unsigned(std::uint64_t value) override;
  bool string(std::string& value) override;
  bool key(std::string& value) override {
    key_ = value;
    return true;
  }
  bool start_object(std::size_t) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop(make_error(ErrorCode::damaged, "the backup manifest is not JSON at byte {}", position));
  }

  std::optional<Error> error;
  BackupManifest manifest;

 private:
  enum class Level : std::uint8_t { outside, top, files, file, ranges, range, done };

  bool stop(Error why) {
    if (!error) error = std::move(why);
    return false;
  }
  bool wrong(std::string_view what) {
    return stop(make_error(ErrorCode::damaged, "the backup manifest has {} for \"{}\"", what, key_));
  }
  bool set_version(std::uint64_t value);
  bool file_string(std::string& value);
  bool range_string(const std::string& value);
  bool end_file();
  bool end_range();

  ManifestHandler& handler_;
  Level level_ = Level::outside;
  std::string key_;

  // The file or range being read.
  std::optional<std::string> path_;
  std::optional<std::uint64_t> size_bytes_;
  ManifestChecksum algorithm_ = ManifestChecksum::none;
  Bytes checksum_;
  std::optional<std::uint32_t> timeline_;
  std::optional<Lsn> start_;
  std::optional<Lsn> end_;
};

bool Walker::set_version(std::uint64_t value) {
  if (value == 0) return wrong("zero");
  if (value > 2) {
    return stop(
        make_error(ErrorCode::newer_format, "the backup manifest is of version {}, newer than 2", value));
  }
  manifest.version = static_cast<int>(value);
  return true;
}

bool Walker::number_unsigned(std::uint64_t value) {
  if (level_ == Level::top && key_ == "PostgreSQL-Backup-Manifest-Version") return set_version(value);
  if (level_ == Level::top && key_ == "System-Identifier") {
    manifest.system_identifier.value = value;
  } else if (level_ == Level::file && key_ == "Size") {
    size_bytes_ = value;
  } else if (level_ == Level::range && key_ == "Timeline" && value <= UINT32_MAX) {
    timeline_ = static_cast<std::uint32_t>(value);
  } else {
    return wrong("a number");
  }
  return true;
}

bool Walker::string(std::string& value) {
  switch (level_) {
    case Level::file:
      return file_string(value);
    case Level::range:
      return range_string(value);
    case Level::top:
      return key_ == "Manifest-Checksum" || wrong("a text");
    default:
      return wrong("a text");
  }
}

bool Walker::file_string(std::string& value) {
  if (key_ == "Path") {
    path_ = std::move(value);
  } else if (key_ == "Encoded-Path") {
    const auto bytes = from_hex(value);
    if (!bytes) return wrong("no hexadecimal");
    path_ = std::string(as_text(*bytes));
  } else if (key_ == "Checksum-Algorithm") {
    const auto algorithm = algorithm_from(value);
    if (!algorithm) return wrong("an unknown algorithm");
    algorithm_ = *algorithm;
  } else if (key_ == "Checksum") {
    auto bytes = from_hex(value);
    if (!bytes) return wrong("no hexadecimal");
    checksum_ = *std::move(bytes);
  } else if (key_ != "Last-Modified") {
    return wrong("a text");
  }
  return true;
}

bool Walker::range_string(const std::string& value) {
  const auto lsn = parse_lsn(value);
  if (!lsn) return wrong("no LSN");
  if (key_ == "Start-LSN") {
    start_ = *lsn;
  } else if (key_ == "End-LSN") {
    end_ = *lsn;
  } else {
    return wrong("a text");
  }
  return true;
}

bool Walker::start_object(std::size_t) {
  switch (level_) {
    case Level::outside:
      level_ = Level::top;
      return true;
    case Level::files:
      level_ = Level::file;
      break;
    case Level::ranges:
      level_ = Level::range;
      break;
    default:
      return wrong("an object");
  }
  path_.reset();
  size_bytes_.reset();
  algorithm_ = ManifestChecksum::none;
  checksum_.clear();
  timeline_.reset();
  start_.reset();
  end_.reset();
  return true;
}

bool Walker::end_object() {
  switch (level_) {
    case Level::file:
      level_ = Level::files;
      return end_file();
    case Level::range:
      level_ = Level::ranges;
      return end_range();
    default:
      level_ = Level::done;
      return true;
  }
}

bool Walker::start_array(std::size_t) {
  if (level_ == Level::top && key_ == "Files") {
    level_ = Level::files;
  } else if (level_ == Level::top && key_ == "WAL-Ranges") {
    level_ = Level::ranges;
  } else {
    return wrong("a list");
  }
  return true;
}

bool Walker::end_array() {
  level_ = Level::top;
  return true;
}

bool Walker::end_file() {
  key_ = "Files";
  if (manifest.version == 0) return wrong("an entry before the version");
  if (!path_ || path_->empty() || !size_bytes_) return wrong("an entry without path or size");
  if (checksum_.size() != digest_size(algorithm_)) return wrong("an entry whose checksum has a wrong length");
  ++manifest.files;
  auto told = handler_.file({*path_, *size_bytes_, algorithm_, checksum_});
  return told.has_value() || stop(std::move(told).error());
}

bool Walker::end_range() {
  key_ = "WAL-Ranges";
  if (!timeline_ || *timeline_ == 0 || !start_ || !end_ || *end_ < *start_) return wrong("a broken range");
  if (manifest.wal_ranges.size() == manifest_wal_ranges_limit) return wrong("too many ranges");
  manifest.wal_ranges.push_back({TimelineId{*timeline_}, *start_, *end_});
  return true;
}

}  // namespace

std::string_view to_string(ManifestChecksum algorithm) {
  switch (algorithm) {
    case ManifestChecksum::none:
      return "NONE";
    case ManifestChecksum::crc32c:
      return "CRC32C";
    case ManifestChecksum::sha224:
      return "SHA224";
    case ManifestChecksum::sha256:
      return "SHA256";
    case ManifestChecksum::sha384:
      return "SHA384";
    case ManifestChecksum::sha512:
      return "SHA512";
  }
  return "NONE";
}

Result<BackupManifest> parse_backup_manifest(std::string_view text, ManifestHandler& handler) {
  PGS_CHECK(verify_checksum(text));
  Walker walker(handler);
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &walker);
  if (walker.error) return std::unexpected(*std::move(walker.error));
  if (!whole || walker.manifest.version == 0) {
    return fail(ErrorCode::damaged, "the backup manifest names no version");
  }
  return std::move(walker.manifest);
}

}  // namespace pgstrata
