#include "catalog/object_copy.h"

#include <algorithm>
#include <array>

#include "repo/pack.h"
#include "storage/brief_attempts.h"
#include "storage/memory/memory_store.h"

namespace pgstrata {
namespace {

constexpr std::uint64_t in_memory_max_bytes = 64U << 20;
constexpr std::size_t piece_bytes = 4U << 20;

// The name of a pack of files does not say whether it is of data or of maps.
Result<void> check_pack(const ClusterSpace& space, const std::string& name, CopiedForm form) {
  PGS_TRY(PackReader pack, form == CopiedForm::wal ? PackReader::open(space, name, PackKind::wal)
                                                   : PackReader::open_of_snapshot(space, name));
  return pack.read_all([](const PackDirectoryEntry&, ByteView) { return Result<void>(); });
}

bool may_be_replaced(const Error& error) {
  return error.code() == ErrorCode::not_found || error.code() == ErrorCode::damaged;
}

Result<void> make_room(const ClusterSpace& to, const std::string& name,
                       const PublishingAllowed& may_replace) {
  PGS_CHECK(may_replace());
  return to.store().remove(to.object_name(name));
}

// What is there had another size when it was listed (a partial segment that has grown, or damage), or another copy has put it
// since: one that lost its lease or took it over. To remove the latter would take it from a snapshot that needs it.
Result<void> put(const ClusterSpace& to, const std::string& name, ByteView content,
                 const PublishingAllowed& may_replace) {
  const std::string object = to.object_name(name);
  auto done = to.store().put(object, content);
  if (done || done.error().code() != ErrorCode::already_exists) return done;
  const auto there = to.store().get(object, in_memory_max_bytes);
  if (there && std::ranges::equal(*there, content)) return {};
  if (!there && !may_be_replaced(there.error())) return std::unexpected(there.error());
  PGS_CHECK(make_room(to, name, may_replace));
  return to.store().put(object, content);
}

// As put, by the size: it is not read again for that.
Result<void> copy_large(const ClusterSpace& from, const ClusterSpace& to, const std::string& name,
                        std::uint64_t size_bytes, const PublishingAllowed& may_replace) {
  const auto there = to.store().stat(to.object_name(name));
  if (!there && there.error().code() != ErrorCode::not_found) return std::unexpected(there.error());
  if (there && there->size_bytes == size_bytes) return {};
  if (there) PGS_CHECK(make_room(to, name, may_replace));
  PGS_TRY(auto writer, to.store().create(to.object_name(name)));
  Buffer piece(piece_bytes);
  for (std::uint64_t at = 0;;) {
    PGS_TRY(const std::size_t got, from.store().read_some(from.object_name(name), at, piece.whole()));
    PGS_CHECK(writer->write(ByteView(piece.data(), got)));
    at += got;
    if (got < piece_bytes) return writer->commit();
  }
}

// The object as `to` will have it, in memory.
struct Held {
  Bytes content;
  MemoryStore store;
  ClusterSpace space;

  Held(const ClusterSpace& of, Bytes bytes) : content(std::move(bytes)), space(store, of.name(), of.key()) {}
  Result<void> keep(const std::string& name) { return store.put(space.object_name(name), content); }
};

}  // namespace

Result<std::uint64_t> copy_object(const ClusterSpace& from, const ClusterSpace& to, const std::string& name,
                                  CopiedForm form, std::uint64_t size_bytes,
                                  const PublishingAllowed& may_replace) {
  if (size_bytes > in_memory_max_bytes) {
    PGS_CHECK(check_pack(from, name, form));
    PGS_CHECK(copy_large(from, to, name, size_bytes, may_replace));
    return size_bytes;
  }
  PGS_TRY(Bytes content, from.store().get(from.object_name(name), in_memory_max_bytes));
  Held held(from, std::move(content));
  PGS_CHECK(held.keep(name));
  PGS_CHECK(check_pack(held.space, name, form));
  PGS_CHECK(put(to, name, held.content, may_replace));
  return held.content.size();
}

Result<bool> copy_record(const ClusterSpace& from, const ClusterSpace& to, const std::string& name,
                         RecordKind kind, const PublishingAllowed& still_allowed) {
  PGS_TRY(Bytes content, from.store().get(from.object_name(name), max_record_size_bytes));
  Held held(from, std::move(content));
  PGS_CHECK(held.keep(name));
  PGS_CHECK(get_record(held.space, name, kind));
  const auto there = to.store().get(to.object_name(name), max_record_size_bytes);
  if (there && std::ranges::equal(*there, held.content)) return false;
  if (!there && !may_be_replaced(there.error())) return std::unexpected(there.error());
  PGS_CHECK(still_allowed());
  const BriefAttempts brief(publishing_limit);
  PGS_CHECK(put(to, name, held.content, still_allowed));
  return true;
}

}  // namespace pgstrata
