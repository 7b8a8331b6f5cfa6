// An append-only object of sealed frames, durable frame by frame: where the newest WAL lives until its
// segment is full. Each frame is authenticated and bound to its place. Format: docs/formats/journal.md.
//
// A journal is never reopened for writing: after a crash the next writer starts a new one.
// Each frame also says how many frames were durable when it was appended, so that what a crash tore off is
// told from damage to what had been durable.
//
// On a store without journals (StoreCapabilities) it is an object of the same form that is put whole when it is
// vouched for: nothing of it is there before, and it cannot be synced.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "repo/repository.h"

namespace pgstrata {

inline constexpr std::size_t max_frame_size_bytes = 4U << 20;

// Belongs to one thread.
class JournalWriter {
 public:
  // Durable, visible and empty when it returns, where the store has journals. `name` is relative to the cluster's
  // space. Error: already_exists.
  static Result<JournalWriter> create(const ClusterSpace& space, std::string name);
  JournalWriter(JournalWriter&&) noexcept;
  JournalWriter& operator=(JournalWriter&&) noexcept;
  ~JournalWriter();

  // Error: usage (more than max_frame_size_bytes, or than 32 MiB in all that are put whole). Syncs by itself what
  // would else be more than 32 MiB. After an error of the store, from this or from another call, the writer is of
  // no more use: start a new journal.
  Result<void> append(ByteView frame);
  // All frames appended so far are durable when this returns. Error: unsupported, where it is put whole.
  Result<void> sync();
  // The same, and then makes `frame` durable, which tells that all before it are: what is damaged later is then known
  // to have been there. A journal that is put whole is put by this, once: it takes no more.
  Result<void> vouch(ByteView frame);

 private:
  Result<void> make_room();

  struct State;
  explicit JournalWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Calls `use` for each whole frame in order; the view is valid during the call. Where the next frame is not
// whole (a torn write, zeros), the journal ends and all is well, unless a later frame of it authenticates and
// tells that the missing one had been durable: then the middle is damaged. Damage to the last frames that
// were ever durable cannot be told from a crash: whoever needs to know compares with what should be there.
// May be called while the journal is being written; it then sees at least what a finished sync covered.
// Returns how many frames are known to be durable, by what later ones say: the last sync shows only in the
// frame after it.
// Errors: damaged (after `use` saw every frame before the damage, and `use_beyond`, where given, each that
// authenticates behind it; also when far more follows the last frame than any journal has); not_found;
// newer_format; those of `use` and `use_beyond`.
using UseFrame = std::function<Result<void>(ByteView frame)>;
Result<std::uint32_t> read_journal(const ClusterSpace& space, std::string_view name, const UseFrame& use,
                                   const UseFrame& use_beyond = {});

}  // namespace pgstrata
