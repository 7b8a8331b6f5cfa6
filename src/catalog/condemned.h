// What prune is about to remove, told beforehand to all who might begin to use it: notes, each the record `condemned/ID`
// with, once it was looked up, its witness `condemned/ID.witness`. Format: docs/formats/catalog.md. Protocol:
// docs/decisions/0019-what-may-be-removed.md.
//
// To who takes a publisher's lease after a note was there, its packs do not exist. Who held one of those leases before is
// the note's witness: until he holds it no more, nothing that the note names is removed but snapshots' records.
#pragma once

#include <string>
#include <vector>

#include "catalog/hold.h"
#include "repo/lease.h"
#include "repo/pack.h"

namespace pgstrata {

struct CondemnedNote {
  std::string id;
  Timestamp created;
  std::vector<std::string> snapshots;
  std::vector<PackId> packs;
  WalSegmentIds segments;  // all objects of each
};

// Durable when it returns; returns its id.
Result<std::string> put_condemned_note(const ClusterSpace& space, CondemnedNote note, const Clock& clock);
// Oldest first. Errors: damaged (names it, with a hint: a prune removes it); newer_format.
Result<std::vector<CondemnedNote>> list_condemned_notes(const ClusterSpace& space);
// The witness, then the note; `still_allowed` is asked before each: once the note is gone, what it named may be stored again
// by a copy, and whoever took over meanwhile must not have seen it. One that is gone is no error.
Result<void> remove_condemned_note(const ClusterSpace& space, std::string_view id,
                                   const PublishingAllowed& still_allowed);

// Witnesses without a note: each of a prune that was so slow that another one finished its work.
Result<void> remove_lone_witnesses(const ClusterSpace& space, const PublishingAllowed& still_allowed);

// Notes and witnesses of which it is certain that they can never be read: nothing is ever removed by them, and who would
// publish waits for them. Told in the log.
Result<void> remove_damaged_notes(const ClusterSpace& space, const PublishingAllowed& still_allowed);

// Whoever holds a publisher's lease and may not have seen the note: nothing when all have. Writes the witness where none is
// written yet. Errors: those of the leases and the store.
Result<std::optional<std::string>> unaware_of(const ClusterSpace& space, const CondemnedNote& note);

// Of all notes.
struct Condemned {
  std::set<std::string> snapshots;
  std::set<PackId> packs;
  WalSegmentIds segments;
};
// Errors: as list_condemned_notes.
Result<Condemned> load_condemned(const ClusterSpace& space);

}  // namespace pgstrata
