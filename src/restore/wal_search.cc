#include "restore/wal_search.h"

#include <algorithm>

#include "codec/endian.h"

namespace pgstrata {
namespace {

// Keeps of a record what a search may ask about.
class FactsOfRecord final : public WalEventHandler {
 public:
  explicit FactsOfRecord(RecordFacts& facts) : facts_(facts) {}
  void transaction_end(const TransactionEnd& end) override {
    facts_.transaction = end;
    facts_.transaction->dropped = {};  // a view of the record, which the facts outlive
  }
  void restore_point(const RestorePoint& point) override { facts_.restore_point = std::string(point.name); }
  void checkpoint(const Checkpoint&) override {}
  void timeline_switch(const TimelineChange& change) override { facts_.timeline_change = change; }
  void database_created(Oid) override {}
  void database_dropped(Oid) override {}
  void change(const RelationFile&, ChangeKind, std::uint32_t) override {}
  void page_image(const RelationFile&, std::size_t) override {}

 private:
  RecordFacts& facts_;
};

// xl_tblspc_create_rec: src/include/commands/tablespace.h, the same in all supported versions.
std::optional<TablespaceCreation> tablespace_creation(const WalRecord& record) {
  constexpr std::uint8_t create = 0x00;
  if (record.rmgr != Rmgr::tablespace || record.operation() != create) return std::nullopt;
  ByteReader reader(record.main_data);
  const Oid oid{reader.u32()};
  const auto rest = as_text(reader.bytes(reader.remaining()));
  if (reader.failed()) return std::nullopt;
  return TablespaceCreation{oid, std::string(rest.substr(0, rest.find('\0')))};
}

// Hands the records that end within [first_end, last_end] to `visit` until it has enough.
class Visitor final : public WalRecordHandler {
 public:
  Visitor(const SearchedWal& where, Lsn segment_start, const std::function<bool(const RecordFacts&)>& visit)
      : where_(where), segment_start_(segment_start), visit_(visit) {}

  Result<void> record(const WalRecord& record) override {
    // A record that ends at or before the segment's start is of the index before.
    if (done_ || record.start < where_.from || record.end <= segment_start_ || record.end > where_.to)
      return {};
    RecordFacts facts{record.start, record.end, {}, {}};
    if (record.rmgr == Rmgr::transaction || record.rmgr == Rmgr::xlog) {
      FactsOfRecord handler(facts);
      PGS_CHECK(interpret_wal_record(record, handler));
    }
    facts.tablespace = tablespace_creation(record);
    done_ = !visit_(facts);
    return {};
  }
  [[nodiscard]] bool done() const { return done_; }

 private:
  const SearchedWal& where_;
  Lsn segment_start_;
  const std::function<bool(const RecordFacts&)>& visit_;
  bool done_ = false;
};

}  // namespace

std::optional<TimelineId> WalSearch::timeline_of(Lsn segment_start) const {
  for (const auto& run : runs_) {
    if (const auto timeline = run.timeline_of(segment_start)) return timeline;
  }
  return std::nullopt;
}

Result<std::optional<WalIndex>> WalSearch::index_of(TimelineId timeline, Lsn segment_start) const {
  const auto* objects = inventory_.find(timeline, segment_start);
  if (objects == nullptr || objects->sealed.empty()) return std::nullopt;
  PGS_TRY(auto reader, WalSegmentReader::open(space_, objects->sealed));
  PGS_TRY(auto summary, reader.summary());
  return std::optional(std::move(summary.index));
}

// The segment in which the record begins that reaches into the one at `segment_start`.
Result<Lsn> WalSearch::begin_reading_at(Lsn from, Lsn segment_start) const {
  Lsn at = segment_start;
  while (at > inventory_.segment_start(from)) {
    at = Lsn{at.value - inventory_.segment_bytes()};
    const auto timeline = timeline_of(at);
    if (!timeline) return fail(ErrorCode::not_found, "the repository holds no WAL at {}", at);
    PGS_TRY(const auto index, index_of(*timeline, at));
    if (!index || index->records > 0) break;
  }
  return at;
}

// Records that end in this segment; those before are read too where one may begin in them.
Result<bool> WalSearch::read_segment(const SearchedWal& where, Lsn segment_start, const Visit& visit) {
  const std::uint32_t segment_bytes = inventory_.segment_bytes();
  PGS_TRY(const Lsn first, begin_reading_at(where.from, segment_start));
  PGS_TRY(auto reader, WalRecordReader::create({.start = first,
                                                .segment_size_bytes = segment_bytes,
                                                .major_version = where.server_major,
                                                .system_identifier = {}}));
  Visitor visitor(where, segment_start, visit);
  const Lsn to = std::min(where.to, segment_start + segment_bytes);
  PGS_TRY(const Lsn end, read_wal(
                             space_, inventory_, [this](Lsn at) { return timeline_of(at); }, first, to,
                             [&](Lsn, ByteView bytes) -> Result<bool> {
                               PGS_CHECK(reader.feed(bytes, visitor).context("look into the WAL"));
                               return !visitor.done();
                             }));
  if (end <= segment_start && segment_start < to && !visitor.done())
    return fail(ErrorCode::not_found, "the repository holds no WAL at {}", end);
  return visitor.done();
}

Result<void> WalSearch::search(const SearchedWal& where, const Maybe& maybe, const Visit& visit) {
  for (Lsn at = inventory_.segment_start(where.from); at < where.to; at += inventory_.segment_bytes()) {
    PGS_CHECK(cancellation_.check());
    const auto timeline = timeline_of(at);
    if (!timeline) return fail(ErrorCode::not_found, "the repository holds no WAL at {}", at);
    PGS_TRY(const auto index, index_of(*timeline, at));
    if (index && !maybe(*index)) {
      if (index->last_commit_time.valid()) last_commit_ = index->last_commit_time;
      continue;
    }
    PGS_TRY(const bool done, read_segment(where, at, visit));
    if (done) return {};
  }
  return {};
}

Result<std::optional<RecordFacts>> WalSearch::find_first(const SearchedWal& where, const Maybe& maybe,
                                                         const Match& match) {
  last_commit_ = {};
  std::optional<RecordFacts> found;
  PGS_CHECK(search(where, maybe, [&](const RecordFacts& facts) {
    if (match(facts)) {
      found = facts;
      return false;
    }
    if (facts.transaction && facts.transaction->committed) last_commit_ = facts.transaction->time;
    return true;
  }));
  return found;
}

Result<std::optional<RecordFacts>> WalSearch::find_last(const SearchedWal& where, const Maybe& maybe,
                                                        const Match& match) {
  std::optional<RecordFacts> found;
  PGS_CHECK(search(where, maybe, [&](const RecordFacts& facts) {
    if (match(facts)) found = facts;
    return true;
  }));
  return found;
}

}  // namespace pgstrata
