// Finds out what to ask the source for: from the repository at first, from the source's histories after a
// promotion, from its slot when WAL is lost. Each leaves a sink at which to go on. Internal to the receiver.
//
// Errors of each: those of the connection and, marked as such, of the repository.
#pragma once

#include "capture/wal_reception.h"
#include "capture/wal_resume.h"
#include "catalog/timelines.h"

namespace pgstrata {

class WalPositioning {
 public:
  // Both are borrowed; the connection must take commands.
  WalPositioning(WalReception& reception, ReplicationConnection& connection)
      : reception_(reception), connection_(connection) {}

  // A sink where the repository's WAL ends or, where it holds none, at the beginning of what the slot keeps.
  // Error: failed, when the source is on another timeline and its standing does not allow that.
  Result<void> open(const SystemIdentity& source);
  // The timeline has ended. Error: already_exists, when the repository knows another history of the next.
  Result<void> follow(const TimelineSwitch& end);
  // What was asked for cannot be had: makes the slot anew, goes over to the timeline that the source went, or
  // goes on behind a gap. Errors: failed, when the source's history and ours have nothing in common.
  Result<void> recover(const WalLost& lost);

 private:
  // The timeline that the repository has the cluster on, if it holds WAL; where the source is declared to be
  // the primary, that is made its timeline.
  Result<std::optional<TimelineId>> own_timeline(const WalInventory& stored, const SystemIdentity& source);
  Result<void> make_current(TimelineId timeline);
  // To a damaged segment, as long as no snapshot lies behind it: the source may still have it, and where it
  // has not, that is a gap.
  Result<void> go_back_to_damage(const WalInventory& stored, WalResume& resume);
  // Nothing when there is no slot, or the server is too old to tell.
  Result<std::optional<SlotState>> read_slot();
  Result<void> make_slot();
  Result<void> remake_slot();
  Result<void> follow_fork();
  Result<void> end_timeline();
  Result<void> go_on_behind_gap(const WalLost& lost);
  struct SourceHistory {
    Bytes content;
    TimelineHistory parsed;
  };
  // Error: failed, when what the source sends is none.
  Result<SourceHistory> source_history(TimelineId timeline);
  // As the source has it now. Errors: those of source_history; already_exists, when another history of it is
  // stored.
  Result<void> store_history(TimelineId timeline);
  // Only when none is stored that can be read.
  Result<void> ensure_history(TimelineId timeline);
  Result<TimelineHistory> our_history();
  // A sink on `timeline` for what comes from `lsn` on.
  Result<void> move_to(TimelineId timeline, Lsn lsn);
  Result<void> open_sink(const WalResume& resume);
  Result<WalInventory> inventory();
  [[nodiscard]] Lsn segment_start(Lsn lsn) const;

  WalReception& reception_;
  ReplicationConnection& connection_;
};

}  // namespace pgstrata
