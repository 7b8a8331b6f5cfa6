// Where objects are kept: a folder, a bucket, memory. The whole contract is on this page, and the conformance
// suite (storage/conformance.h) tests every line of it against each store.
//
// Names: one or more parts of [A-Za-z0-9._=-] joined by "/", at most 512 bytes in all and 255 in a part; no
// part begins with "." (stores keep their own things there). Anything else is refused with ErrorCode::usage.
// No name may be the folder of another ("a" beside "a/b"): a store may refuse the second with
// ErrorCode::failed.
//
// Guarantees
//  * An object is written once. Its name appears only when its content is whole and durable; a crash at any
//    step leaves no trace under that name. Journals (below) and replaceable objects are the two exceptions,
//    each by its own call.
//  * After a put, commit, replace or remove has returned, also with already_exists, every later call by
//    anyone sees its effect, also after a crash of any machine.
//  * Before that others may see the name already, and a crash of the machine may take it away again: on a
//    disk a name is durable a moment after it appears, and whoever gave it may have died in between. Who
//    makes a promise because of a name that he found calls make_names_durable first.
//  * When a call returns an error, the effect may or may not have happened (a lost answer); repeating it is
//    safe: a repeated put may say already_exists, a repeated replace busy.
//  * All members are thread-safe. Writers and journals belong to one thread at a time; the store outlives
//    them.
//
// Errors, beside those said at each call: no_space (disk full, quota), permission (read-only, not allowed),
// unavailable (no answer now; retry may help), not_found, failed (all else the world can say).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/timestamp.h"

namespace pgstrata {

struct ObjectInfo {
  std::string name;
  std::uint64_t size_bytes = 0;
  Timestamp modified;  // the store's clock
};

struct StoreCapabilities {
  bool journals = false;            // create_journal works
  bool conditional_writes = false;  // create refuses a taken name, replace compares: both atomically
  bool far = false;                 // what is read comes over a network: worth keeping near
};

// A new object, written front to back. Dropping it without commit leaves nothing behind. Once a call has
// failed, all that follow fail too.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual Result<void> write(ByteView bytes) = 0;
  // Makes the object durable, then visible. Error: already_exists when the name is taken; the object there
  // stays.
  virtual Result<void> commit() = 0;
};

// An object that grows at its end, for stores that can. Readers see some prefix of what was appended, at
// least all that a finished sync covered; bytes past that may be missing, torn or zero after a crash, so what
// is in it must be self-delimiting and authenticated. The object may be longer than what was appended: the
// rest is zeros, at most 16 MiB of them. Once a call has failed, all that follow fail too: what reached the
// store after the last sync is unknown.
class ObjectJournal {
 public:
  virtual ~ObjectJournal() = default;
  virtual Result<void> append(ByteView bytes) = 0;
  // What was appended so far is durable when this returns.
  virtual Result<void> sync() = 0;
};

// The content of a replaceable object with the version that a later replace must name. Equal content may have
// an equal version: holders put something of their own, such as a counter, into it.
struct VersionedObject {
  Bytes content;
  std::string version;
};

inline constexpr std::uint64_t default_get_limit_bytes = 64U << 20;
inline constexpr std::uint64_t max_replaceable_bytes = 1U << 20;

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  [[nodiscard]] virtual StoreCapabilities capabilities() const = 0;
  // For messages: "/backup/app" or "s3://bucket/prefix".
  [[nodiscard]] virtual std::string describe() const = 0;

  // Error: already_exists when the name is taken; the object there stays as it is.
  virtual Result<void> put(std::string_view name, ByteView content) = 0;
  virtual Result<std::unique_ptr<ObjectWriter>> create(std::string_view name) = 0;
  // A new, empty, durable journal. Error: already_exists; unsupported without the capability.
  virtual Result<std::unique_ptr<ObjectJournal>> create_journal(std::string_view name) = 0;

  // Error: not_found; damaged, before anything is allocated, when the object is larger than `limit_bytes`:
  // whoever reads an object whole knows how large it can be.
  virtual Result<Bytes> get(std::string_view name, std::uint64_t limit_bytes = default_get_limit_bytes) = 0;
  // Fills `into` from `offset`, as far as the object goes: how much that was, 0 at its end and behind it.
  // Less than `into` has means that the object ends there. Error: not_found, also where nothing is asked for.
  virtual Result<std::size_t> read_some(std::string_view name, std::uint64_t offset,
                                        MutableByteView into) = 0;
  // The whole of `into`, past what is kept beside the object where that ends too soon. Error: damaged, when the
  // object ends before that; not_found.
  Result<void> read(std::string_view name, std::uint64_t offset, MutableByteView into);
  // For who found what he read of an object to be wrong: forgets what is kept of that range beside the object
  // itself, so that the next read says what the object says. Whether there was anything.
  virtual bool forget_copies(std::string_view name, std::uint64_t offset, std::uint64_t size_bytes) = 0;
  // Error: not_found.
  virtual Result<ObjectInfo> stat(std::string_view name) = 0;

  // Up to `limit` objects whose names start with `prefix` and sort after `after`, in byte order of their
  // names. Fewer than `limit` means that there are no more. The prefix need not end at a "/". What appears or
  // goes while the list is made may or may not be in it. Something that has an object's name and can be none
  // (a symbolic link in a folder) is listed with size 0: get says that it is damaged, remove removes it.
  virtual Result<std::vector<ObjectInfo>> list(std::string_view prefix, std::string_view after,
                                               std::size_t limit) = 0;
  // All of them, page by page.
  Result<std::vector<ObjectInfo>> list_all(std::string_view prefix);

  // The names that start with `prefix` and were to be seen before the call are durable when it returns.
  virtual Result<void> make_names_durable(std::string_view prefix) = 0;

  // Done when the object is not there afterwards; a missing one is no error.
  virtual Result<void> remove(std::string_view name) = 0;

  // Replaceable objects (leases, registrations): compare-and-swap, also of what was put. `expected` absent means "must not exist".
  // Errors: busy, when the object is not at that version, and nothing has changed; usage, when the content is
  // larger than max_replaceable_bytes.
  virtual Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                                      ByteView content) = 0;
  // Error: not_found; damaged, when it is larger than a replaceable object can be.
  virtual Result<VersionedObject> get_versioned(std::string_view name) = 0;
};

// Error: usage, saying what is wrong with it.
Result<void> check_object_name(std::string_view name);
// For stores. Error: damaged.
Result<void> check_object_size(std::string_view name, std::uint64_t size_bytes, std::uint64_t limit_bytes);
// For stores. Error: usage.
Result<void> check_replaceable(std::string_view name, ByteView content);

// Damage for which an object may be removed: it was read, and is wrong. What a disk fails to read (an error
// with its errno) may be whole the next time.
[[nodiscard]] bool is_lasting_damage(const Error& error);

}  // namespace pgstrata
