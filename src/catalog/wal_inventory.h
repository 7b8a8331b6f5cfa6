// What WAL a cluster's space holds, from the names alone: one listing, nothing opened.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "repo/repository.h"

namespace pgstrata {

struct WalTailObject {
  std::string name;
  Lsn start;
  std::uint64_t size_bytes = 0;
};

// The objects that hold parts of one segment.
struct WalSegmentObjects {
  Lsn start;
  std::string sealed;                // empty when not sealed
  std::string partial;               // empty when there is none
  std::uint64_t stored_bytes = 0;    // of all its objects
  std::vector<WalTailObject> tails;  // by start
};

class WalInventory {
 public:
  using Segments = std::map<Lsn, WalSegmentObjects>;

  // Names that are no WAL objects go to unknown_names(): verify speaks of them, nothing else does. So does
  // what bears a sealed segment's name, beside the tails of that segment, and cannot be opened. Errors: those
  // of the store, here and below.
  static Result<WalInventory> load(const ClusterSpace& space, std::uint32_t segment_bytes);

  // The same of one segment alone.
  static Result<WalInventory> load_segment(const ClusterSpace& space, std::uint32_t segment_bytes,
                                           TimelineId timeline, Lsn segment_start);

  // As load, and every name in it is durable when it returns: for who confirms to a server what is behind it.
  static Result<WalInventory> load_durable(const ClusterSpace& space, std::uint32_t segment_bytes);

  [[nodiscard]] std::uint32_t segment_bytes() const { return segment_bytes_; }
  [[nodiscard]] const std::map<TimelineId, Segments>& timelines() const { return timelines_; }
  // Nothing when the space holds no part of that segment.
  [[nodiscard]] const WalSegmentObjects* find(TimelineId timeline, Lsn segment_start) const;
  // As if no object of that segment were there.
  void forget(TimelineId timeline, Lsn segment_start);
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  [[nodiscard]] const std::vector<std::string>& unknown_names() const { return unknown_names_; }
  [[nodiscard]] Lsn segment_start(Lsn lsn) const { return {lsn.value - lsn.value % segment_bytes_}; }

 private:
  explicit WalInventory(std::uint32_t segment_bytes) : segment_bytes_(segment_bytes) {}
  static Result<WalInventory> load_prefix(const ClusterSpace& space, std::uint32_t segment_bytes,
                                          std::string_view prefix);

  std::uint32_t segment_bytes_;
  std::map<TimelineId, Segments> timelines_;
  std::uint64_t stored_bytes_ = 0;
  std::vector<std::string> unknown_names_;
};

// "wal/00000001/000000010000000000000003": the sealed object of the segment that starts at `start`.
[[nodiscard]] std::string wal_object_name(TimelineId timeline, Lsn start, std::uint32_t segment_bytes);
// Behind it: the beginning of a segment in which its timeline ended.
inline constexpr std::string_view partial_wal_suffix = ".partial";

}  // namespace pgstrata
