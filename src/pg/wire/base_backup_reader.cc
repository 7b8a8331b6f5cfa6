#include "pg/wire/base_backup_reader.h"

#include "codec/endian.h"
#include "pg/wire/result_reader.h"
#include "pg/wire/server_error.h"

namespace pgstrata {
namespace {

constexpr std::string_view backup_start_what = "start the base backup";
constexpr std::string_view backup_read_what = "receive the base backup";
constexpr int typed_messages_since = 15'00'00;

std::string quoted_literal(std::string_view text) {
  std::string literal = "'";
  for (const char c : text) {
    if (c == '\'') literal += '\'';
    literal += c;
  }
  return literal + "'";
}

std::string backup_command(const BaseBackupOptions& options, int server_version) {
  const std::string label = quoted_literal(options.label);
  if (server_version < typed_messages_since) {
    return fmt::format(
        "BASE_BACKUP LABEL {} PROGRESS {}NOWAIT NOVERIFY_CHECKSUMS MANIFEST 'yes' "
        "MANIFEST_CHECKSUMS 'CRC32C'",
        label, options.fast_checkpoint ? "FAST " : "");
  }
  return fmt::format(
      "BASE_BACKUP (LABEL {}, PROGRESS true, CHECKPOINT '{}', WAIT false, "
      "VERIFY_CHECKSUMS "
      "false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C', TARGET 'client')",
      label, options.fast_checkpoint ? "fast" : "spread");
}

std::unexpected<Error> protocol_error(std::string_view detail) {
  return fail(ErrorCode::failed, "{}: the server's answer breaks the protocol: {}", backup_read_what, detail);
}

// Up to a zero byte, which is skipped.
std::string zero_terminated(ByteView& bytes) {
  const auto text = as_text(bytes);
  const auto end = std::min(text.find('\0'), text.size());
  bytes = bytes.subspan(std::min(end + 1, bytes.size()));
  return std::string(text.substr(0, end));
}

}  // namespace

Result<BaseBackupStart> BaseBackupReader::start(Connection& connection, const BaseBackupOptions& options,
                                                BaseBackupReader& reader) {
  reader = BaseBackupReader();
  reader.connection_ = &connection;
  reader.typed_messages_ = connection.server_version() >= typed_messages_since;
  PGS_CHECK(connection.send(backup_command(options, connection.server_version()), backup_start_what));
  PGS_TRY(auto started, reader.read_start());
  reader.archives_due_ = started.tablespaces;
  reader.phase_ = Phase::between;
  return started;
}

Result<BaseBackupStart> BaseBackupReader::read_start() {
  const auto next_rows = [&]() -> Result<ResultHandle> {
    PGS_TRY(auto result, connection_->next_result(backup_start_what, AnswerDue::some_time));
    if (PQresultStatus(result.get()) == PGRES_TUPLES_OK) return result;
    const auto error = server_error(result.get(), connection_->handle());
    static_cast<void>(connection_->skip_results(backup_start_what));
    return std::unexpected(error_from_server(error, backup_start_what));
  };
  BaseBackupStart started;
  PGS_TRY(const auto position, next_rows());
  PGS_TRY(started.start_lsn, ResultRow(position.get(), 0).lsn(0));
  PGS_TRY(started.timeline, ResultRow(position.get(), 0).timeline(1));
  PGS_TRY(const auto tablespaces, next_rows());
  for (int index = 0; index < PQntuples(tablespaces.get()); ++index) {
    const ResultRow row(tablespaces.get(), index);
    BackupTablespace tablespace{.oid = {}, .location = std::string(row.text(1)), .size_estimate_bytes = 0};
    if (!row.text(0).empty()) {
      PGS_TRY(tablespace.oid.value, row.number<std::uint32_t>(0));
    }
    if (!row.text(2).empty()) {
      PGS_TRY(const auto size_kib, row.number<std::uint64_t>(2));
      tablespace.size_estimate_bytes = size_kib * 1024;
    }
    started.tablespaces.push_back(std::move(tablespace));
  }
  return started;
}

Result<BaseBackupEvent> BaseBackupReader::next() {
  PGS_ASSERT(!finished());
  if (phase_ == Phase::between) return begin_next();
  PGS_TRY(const auto status, connection_->wait_copy(message_, std::nullopt, backup_read_what));
  if (status == CopyStatus::ended) {
    phase_ = Phase::between;
    return begin_next();
  }
  if (typed_messages_) return typed_message();
  if (phase_ == Phase::archive) return ArchiveData{message_.view()};
  return ManifestData{message_.view()};
}

Result<BaseBackupEvent> BaseBackupReader::begin_next() {
  PGS_TRY(const auto result, connection_->next_result(backup_read_what, AnswerDue::some_time));
  const auto status = PQresultStatus(result.get());
  if (status == PGRES_TUPLES_OK) return finish(result.get());
  if (status != PGRES_COPY_OUT) {
    const auto error = server_error(result.get(), connection_->handle());
    return std::unexpected(error_from_server(error, backup_read_what));
  }
  if (typed_messages_) {
    if (typed_copy_begun_) return protocol_error("a second COPY");
    typed_copy_begun_ = true;
    phase_ = Phase::archive;
    return next();
  }
  if (archives_begun_ == archives_due_.size()) {
    phase_ = Phase::manifest;
    return ManifestStart{};
  }
  const auto& archive = archives_due_[archives_begun_++];
  phase_ = Phase::archive;
  return ArchiveStart{.tablespace = archive.oid, .location = archive.location};
}

Result<BaseBackupEvent> BaseBackupReader::typed_message() {
  PGS_TRY(auto event, parse_backup_message(message_.view(), phase_ == Phase::manifest));
  if (std::holds_alternative<ArchiveStart>(event)) phase_ = Phase::archive;
  if (std::holds_alternative<ManifestStart>(event)) phase_ = Phase::manifest;
  return event;
}

Result<BaseBackupEvent> parse_backup_message(ByteView message, bool in_manifest) {
  ByteReader reader(message);
  const char type = static_cast<char>(reader.u8());
  ByteView bytes = reader.bytes(reader.remaining());
  switch (type) {
    case 'd':
      if (in_manifest) return ManifestData{bytes};
      return ArchiveData{bytes};
    case 'n': {
      const std::string name = zero_terminated(bytes);  // "base.tar", "16384.tar"
      const std::string location = zero_terminated(bytes);
      std::uint32_t oid = 0;
      std::from_chars(name.data(), name.data() + name.size(), oid);
      if (oid == 0 && name != "base.tar") return protocol_error(fmt::format("an archive named \"{}\"", name));
      return ArchiveStart{.tablespace = Oid{oid}, .location = location};
    }
    case 'm':
      return ManifestStart{};
    case 'p': {
      if (bytes.size() != sizeof(std::uint64_t)) return protocol_error("a progress message of another size");
      return BackupProgress{load_big<std::uint64_t>(bytes.data())};
    }
    default:
      return protocol_error(fmt::format("a message of type \"{}\"", type));
  }
}

Result<BaseBackupEvent> BaseBackupReader::finish(const PGresult* end) {
  BackupEnd ended;
  PGS_TRY(ended.stop_lsn, ResultRow(end, 0).lsn(0));
  PGS_TRY(ended.timeline, ResultRow(end, 0).timeline(1));
  // The command is complete only with its last word: an error may still come instead.
  for (;;) {
    PGS_TRY(const auto result, connection_->next_result(backup_read_what, AnswerDue::some_time));
    if (result == nullptr) break;
    if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) continue;
    return std::unexpected(
        error_from_server(server_error(result.get(), connection_->handle()), backup_read_what));
  }
  phase_ = Phase::finished;
  return ended;
}

}  // namespace pgstrata
