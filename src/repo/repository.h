// A repository: a store, its identity, its key, and one space for each cluster.
//
// Layout (docs/formats/repository.md):
//   repository                  who it is: format version and id, clear text
//   keys/SLOT                   key slots
//   rotation                    how far the last rotation of the repository key has come
//   clusters/NAME/key           the cluster's key, wrapped by the repository key
//   clusters/NAME/...           all else of that cluster, each object under a key derived from the cluster's
//
// There is no other state: a machine with the store and one secret reads everything.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "repo/key_slot.h"
#include "storage/object_store.h"

namespace pgstrata {

// "app", "packs/abc" -> "clusters/app/packs/abc": the object's name in the store.
[[nodiscard]] std::string cluster_object_name(std::string_view cluster_name, std::string_view name);

// The part of a repository that belongs to one cluster: a name prefix and a key. Cheap to copy; borrows the
// store, which must outlive it. Thread-safe.
class ClusterSpace {
 public:
  ClusterSpace(ObjectStore& store, std::string name, const SecretKey& key);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] ObjectStore& store() const { return *store_; }

  // Opens everything of this cluster: for a process that reads for this one.
  [[nodiscard]] const SecretKey& key() const { return key_; }

  // cluster_object_name of this cluster.
  [[nodiscard]] std::string object_name(std::string_view name) const;
  // For who has just taken a lease: whoever shreds the cluster holds them all while its key goes. Error: not_found.
  Result<void> check_not_shredded() const;
  // list_all below the cluster's prefix, with names relative to it.
  Result<std::vector<ObjectInfo>> list(std::string_view prefix) const;

  // The key of one pack, record, journal or lease, from its id (drawn anew for each). `purpose` is "pack v1"
  // and the like.
  [[nodiscard]] SecretKey object_key(ByteView id, std::string_view purpose) const;
  // For ContentTagger: equal content has equal tags within one cluster only.
  [[nodiscard]] SecretKey tag_key() const;

 private:
  ObjectStore* store_;
  std::string name_;
  SecretKey key_;
};

// The repository keys that a secret leads to. There are two while the key is rotated.
struct KeyRing {
  SecretKey current;                    // wraps the keys of new clusters
  std::optional<SecretKey> other = {};  // wraps those of some clusters, or will
};

struct KeyRotationOptions {
  // Slots of secrets that are not at hand, which cannot get the new key, may go.
  bool drop_other_slots = false;
};

struct KeyRotationOutcome {
  KeySlotInfo slot;                        // with the new key
  std::vector<std::string> removed_slots;  // ids
  std::size_t clusters = 0;                // whose keys were wrapped anew
  bool resumed = false;                    // it finished one that had been begun
};

class Repository {
 public:
  // Makes a repository in an empty store; what an earlier create that was cut short left there is no
  // obstacle. Errors: already_exists (there is one: the message names the place); usage (the store holds
  // other things; an empty passphrase or a key file of fewer than 32 bytes).
  static Result<Repository> create(std::unique_ptr<ObjectStore> store, const KeySource& source,
                                   const Clock& clock);

  // Tries `source` on every slot of its kind, and on no other: a repository that needs no key does not open
  // with one. Errors: not_found (no repository there: the hint says init, or that a disk may not be mounted);
  // wrong_key (a repository, but no slot opens); usage (as for create); newer_format; damaged.
  static Result<Repository> open(std::unique_ptr<ObjectStore> store, const KeySource& source);

  // Which kinds of secret open the repository in `store`, without one at hand: what to ask for. Errors:
  // not_found and newer_format as for open; damaged.
  static Result<std::vector<KeySlotKind>> key_slot_kinds(ObjectStore& store);

  Repository(Repository&&) noexcept = default;
  Repository& operator=(Repository&&) noexcept = default;

  [[nodiscard]] const RepositoryId& id() const { return id_; }
  [[nodiscard]] ObjectStore& store() const { return *store_; }
  // False when a slot of kind `none` exists.
  [[nodiscard]] bool encrypted() const { return encrypted_; }

  // Errors: damaged (names the slot: it can be removed); newer_format.
  Result<std::vector<KeySlotInfo>> key_slots() const;
  // Errors: usage (as for create); already_exists, when a slot opens with it already; busy, while the key is rotated.
  Result<KeySlotInfo> add_key_slot(const KeySource& source, const Clock& clock);
  // Errors: not_found; usage when it is the last slot (nothing would open the repository any more) or the one
  // by which this repository was opened (the others may be anybody's); busy when another one was removed at
  // the same time and none would be left: this one is there again.
  Result<void> remove_key_slot(std::string_view id);

  // A slot opens with it. Errors: usage (an unfit secret); newer_format; damaged.
  Result<bool> opens_with(const KeySource& source) const;

  // Draws a new repository key, which `source`, else the secret at hand, opens from now on, wraps the clusters' keys by it and removes the slots of
  // the former one. At each moment every slot that is there leads to all clusters; one that was cut short is finished by
  // the next call, with a secret that opens the repository. Whoever opened the repository before reads and adds clusters
  // as before while his secret has a slot. The keys of the clusters stay what they are. Errors: usage (as for create; or
  // slots of other secrets stand in the way, which are named); busy (one with another secret is under way, or was cut
  // short); damaged (a cluster's key: it would be lost).
  Result<KeyRotationOutcome> rotate_key(const std::optional<KeySource>& source,
                                        const KeyRotationOptions& options, const Clock& clock);
  // A rotation was begun and has not ended. Errors: damaged (its record); newer_format.
  Result<bool> key_rotation_unfinished() const;

  // Sorted names of the clusters that have a key, be it damaged.
  Result<std::vector<std::string>> clusters() const;
  // Sorted names of those that have none, of which nothing can be read: the key is lost, or was destroyed and
  // the rest not removed yet.
  Result<std::vector<std::string>> clusters_without_key() const;
  // Sorted names of what lies where clusters do and can be none: "clusters/Old".
  Result<std::vector<std::string>> foreign_beside_clusters() const;
  // Draws the cluster's key. Errors: already_exists (or objects of a destroyed cluster of that name are still
  // there); usage (check_cluster_name); wrong_key (the repository's key was rotated and this secret has no slot any more).
  Result<ClusterSpace> create_cluster(std::string_view name);
  // Takes in a cluster of another repository under the key that it has there: its objects can be copied as they are.
  // One that is here with that key already is opened. Errors: already_exists (another cluster bears the name); usage
  // (check_cluster_name); wrong_key (as for create_cluster); damaged.
  Result<ClusterSpace> adopt_cluster(std::string_view name, const SecretKey& key);
  // Errors: not_found (the hint lists the clusters there are); usage (check_cluster_name); wrong_key (as for
  // create_cluster); damaged.
  Result<ClusterSpace> open_cluster(std::string_view name) const;

 private:
  Repository(std::unique_ptr<ObjectStore> store, RepositoryId id, KeySource source, KeyRing ring);

  // As the rotation stands now: the key at hand, or what the secret leads to where that is of no use any more. Errors:
  // wrong_key; damaged.
  Result<KeyRing> current_ring() const;
  Result<void> put_cluster_key(std::string_view name, const SecretKey& key);
  Result<void> keep_under_current_key(std::string_view name, const SecretKey& key, const KeyRing& used);
  Result<SecretKey> open_stored_key(std::string_view name, ByteView stored) const;

  std::unique_ptr<ObjectStore> store_;
  RepositoryId id_;
  KeySource source_;  // leads to the new key after a rotation
  KeyRing ring_;
  bool encrypted_ = true;
  std::string opened_slot_;  // the id of the one that gave the key
};

// 1 to 48 of a-z, 0-9, "_" and "-", starting with a letter. Error: usage.
Result<void> check_cluster_name(std::string_view name);

}  // namespace pgstrata
