#include "catalog/replay_meter.h"

#include <algorithm>
#include <cmath>

#include "catalog/wal_reader.h"

namespace pgstrata {

namespace {

constexpr double micros_per_second = 1e6;

double micros_of(const WalIndex& index) {
  const double records = static_cast<double>(index.records) / replayed_records_per_second;
  const double images = static_cast<double>(index.page_image_bytes) / replayed_page_image_bytes_per_second;
  return (records + images) * micros_per_second;
}

std::chrono::microseconds rounded(double micros) {
  return std::chrono::microseconds(std::llround(micros));
}

// Of one object, and verify's to tell of.
bool cannot_be_read(const Error& error) {
  return error.code() == ErrorCode::damaged || error.code() == ErrorCode::newer_format ||
         error.code() == ErrorCode::not_found || error.code() == ErrorCode::permission;
}

}  // namespace

std::chrono::microseconds replay_time(const WalIndex& index) {
  return rounded(micros_of(index));
}

// The rest of a segment that was switched away from holds nothing to replay.
double ReplayMeter::Load::between(Lsn from, Lsn to) const {
  const Lsn first = std::clamp(from, start, records_end);
  const Lsn last = std::clamp(to, first, records_end);
  return static_cast<double>(last - first) * micros_per_byte();
}

double ReplayMeter::Load::micros_per_byte() const {
  return records_end > start ? micros / static_cast<double>(records_end - start) : 0;
}

ReplayMeter::Load ReplayMeter::Load::moved_to(Lsn other_start) const {
  return {other_start, other_start + (records_end - start), micros};
}

ReplayMeter::ReplayMeter(const ClusterSpace& space, WalInventory inventory,
                         const std::vector<TimelineStretch>& way, std::size_t indexes_limit)
    : space_(space),
      inventory_(std::move(inventory)),
      runs_(wal_runs(inventory_, way)),
      indexes_limit_(std::max<std::size_t>(indexes_limit, 1)) {}

ReplayMeter::Sampling ReplayMeter::sampling(Lsn from, Lsn to) const {
  const Lsn first = inventory_.segment_start(from);
  if (to <= first) return {first};
  const std::uint64_t segments = (to - first - 1) / inventory_.segment_bytes() + 1;
  return {first, (segments - 1) / indexes_limit_ + 1};
}

Result<ReplayDebt> ReplayMeter::debt(Lsn from, Lsn to, const Cancellation& cancellation) {
  return debt(from, to, sampling(from, to), cancellation);
}

Result<ReplayDebt> ReplayMeter::debt(Lsn from, Lsn to, const Sampling& sampling,
                                     const Cancellation& cancellation) {
  double micros = 0;
  bool sampled = false;
  for (Lsn start = inventory_.segment_start(from); start < to; start += inventory_.segment_bytes()) {
    PGS_CHECK(cancellation.check());
    PGS_TRY(const auto share, share_of(start, sampling));
    micros += share.load.between(from, to);
    sampled = sampled || share.sampled;
  }
  return ReplayDebt{rounded(micros), sampled};
}

Result<std::vector<CheckpointDebt>> ReplayMeter::checkpoints(Lsn from, Lsn to,
                                                             std::chrono::microseconds bound,
                                                             const Cancellation& cancellation) {
  std::vector<CheckpointDebt> found;
  double before = 0;  // to the start of the segment
  for (Lsn start = inventory_.segment_start(from); start < to; start += inventory_.segment_bytes()) {
    PGS_CHECK(cancellation.check());
    const auto timeline = timeline_of(start);
    if (!timeline) return fail(ErrorCode::not_found, "the repository holds no WAL at {}", start);
    PGS_TRY(const auto index, index_of({*timeline, start}));
    PGS_TRY(const auto share, share_of(start, {start}));
    for (const auto& checkpoint : index.checkpoints) {
      if (checkpoint.lsn < from || checkpoint.redo <= from || checkpoint.lsn >= to) continue;
      const auto time = rounded(before + share.load.between(from, checkpoint.lsn));
      found.push_back({checkpoint, *timeline, time});
      if (time > bound) return found;
    }
    before += share.load.between(from, to);
  }
  return found;
}

std::optional<TimelineId> ReplayMeter::timeline_of(Lsn segment_start) const {
  const auto behind = std::ranges::upper_bound(runs_, segment_start, {}, &WalRun::start);
  if (behind == runs_.begin()) return std::nullopt;
  return std::prev(behind)->timeline_of(segment_start);
}

bool ReplayMeter::unsealed(Lsn segment_start) const {
  const auto timeline = timeline_of(segment_start);
  if (!timeline) return false;
  const auto* objects = inventory_.find(*timeline, segment_start);
  return objects->sealed.empty() && objects->partial.empty();
}

Result<std::optional<ReplayMeter::Load>> ReplayMeter::known_load(Lsn segment_start) {
  const auto known = loads_.find(segment_start);
  if (known != loads_.end()) return known->second;
  const auto timeline = timeline_of(segment_start);
  if (!timeline || unsealed(segment_start)) return std::nullopt;
  const auto summary = summary_of({*timeline, segment_start});
  if (summary) return loads_.at(segment_start);
  if (!cannot_be_read(summary.error())) return std::unexpected(summary.error());
  return std::nullopt;
}

Result<ReplayMeter::Load> ReplayMeter::supposed_load(Lsn segment_start) {
  double per_byte = micros_per_second / replayed_plain_bytes_per_second;
  const std::uint64_t bytes = inventory_.segment_bytes();
  if (unsealed(segment_start) && segment_start.value >= bytes) {
    PGS_TRY(const auto before, known_load({segment_start.value - bytes}));
    if (before && before->micros > 0) per_byte = before->micros_per_byte();
  }
  return Load{segment_start, segment_start + bytes, per_byte * static_cast<double>(bytes)};
}

Result<ReplayMeter::Share> ReplayMeter::share_of(Lsn segment_start, const Sampling& sampling) {
  const auto known = loads_.find(segment_start);
  if (known != loads_.end()) return Share{known->second};
  const std::uint64_t bytes = inventory_.segment_bytes();
  const Lsn picked{segment_start.value -
                   (segment_start - inventory_.segment_start(sampling.from)) % (bytes * sampling.every)};
  PGS_TRY(const auto load, known_load(picked));
  if (load) return Share{load->moved_to(segment_start), picked != segment_start};
  PGS_TRY(const auto supposed, supposed_load(segment_start));
  return Share{supposed, !unsealed(segment_start)};
}

Result<WalSegmentSummary> ReplayMeter::summary_of(const WalRunSegment& segment) {
  PGS_TRY(auto summary, sealed_summary(space_, inventory_, segment));
  PGS_ASSERT(summary.has_value());
  if (summary->start_lsn != segment.start) {
    return fail(ErrorCode::damaged, "the segment at {} holds other WAL than its name says", segment.start);
  }
  const Lsn records_end = std::clamp(summary->index.last_record_end, segment.start, summary->end_lsn);
  loads_[segment.start] = {segment.start, records_end, micros_of(summary->index)};
  return *std::move(summary);
}

Result<WalIndex> ReplayMeter::index_of(const WalRunSegment& segment) {
  if (unsealed(segment.start)) return index_of_unsealed(segment);
  PGS_TRY(auto summary, summary_of(segment));
  return std::move(summary.index);
}

// Bytes that are no WAL end it: what is asked for lies before them, or is not covered.
Result<WalIndex> ReplayMeter::index_of_unsealed(const WalRunSegment& segment) {
  PGS_TRY(const auto content, read_wal_segment(space_, inventory_, segment.timeline, segment.start));
  PGS_TRY(auto reader, WalRecordReader::create({.start = segment.start,
                                                .segment_size_bytes = inventory_.segment_bytes(),
                                                .major_version = 0,
                                                .system_identifier = {}}));
  WalIndexBuilder builder(segment.start);
  const auto fed = reader.feed(content.bytes, builder);
  if (!fed && fed.error().code() != ErrorCode::damaged) return std::unexpected(fed.error());
  return builder.seal_segment(segment.start + content.bytes.size());
}

}  // namespace pgstrata
