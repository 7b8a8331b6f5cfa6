#include "repo/repository.h"

#include "repo/test_store.h"

namespace pgstrata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RepositoryTest : public testing::Test {
 protected:
  Result<Repository> create(const KeySource& source) {
    return Repository::create(borrow(store_), source, clock_);
  }
  Result<Repository> open(const KeySource& source) { return Repository::open(borrow(store_), source); }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    const auto objects = store_.list_all("");
    for (const ObjectInfo& object : *objects) found.push_back(object.name);
    return found;
  }

  MemoryStore store_;
  HeldClock clock_;
  const KeySource key_file_ = KeyFile{.secret = Bytes(40, std::byte{7})};
  const KeySource other_key_file_ = KeyFile{.secret = Bytes(40, std::byte{8})};
  const KeySource passphrase_ = Passphrase{.text = "correct horse"};
};

TEST_F(RepositoryTest, OpensWithWhatItWasMadeWith) {
  for (const KeySource& source : {key_file_, passphrase_, KeySource(NoEncryption{})}) {
    MemoryStore store;
    const auto made = Repository::create(borrow(store), source, clock_);
    ASSERT_EQ(message_of(made), "ok");
    const auto opened = Repository::open(borrow(store), source);
    ASSERT_EQ(message_of(opened), "ok");
    EXPECT_EQ(opened->id(), made->id());
    EXPECT_EQ(opened->encrypted(), kind_of(source) != KeySlotKind::none);
    EXPECT_EQ(made->encrypted(), opened->encrypted());
    const auto slots = *opened->key_slots();
    ASSERT_EQ(slots.size(), 1U);
    EXPECT_EQ(slots[0].kind, kind_of(source));
    EXPECT_EQ(slots[0].created, clock_.now());
    EXPECT_EQ(slots[0].id.size(), 8U);
  }
}

TEST_F(RepositoryTest, TwoNeverShareAnId) {
  MemoryStore other;
  EXPECT_NE(create(key_file_)->id(), Repository::create(borrow(other), key_file_, clock_)->id());
}

TEST_F(RepositoryTest, IsMadeOnceAndOnlyInAnEmptyPlace) {
  ASSERT_EQ(code_of(create(key_file_)), "ok");
  const auto before = names();
  const auto again = create(passphrase_);
  EXPECT_EQ(code_of(again), "already_exists");
  EXPECT_THAT(message_of(again), HasSubstr("memory"));
  EXPECT_EQ(names(), before);

  MemoryStore other;
  ASSERT_TRUE(other.put("photos/cat.jpg", as_byte_view("cat")).has_value());
  const auto refused = Repository::create(borrow(other), key_file_, clock_);
  EXPECT_EQ(code_of(refused), "usage");
  EXPECT_THAT(message_of(refused), HasSubstr("photos/cat.jpg"));
}

TEST_F(RepositoryTest, InitMayBeRepeatedAfterOneThatWasCutShort) {
  ASSERT_EQ(code_of(create(key_file_)), "ok");
  ASSERT_TRUE(store_.remove("repository").has_value());
  ASSERT_EQ(names().size(), 1U);
  const auto stale = names();
  ASSERT_EQ(message_of(create(other_key_file_)), "ok");
  EXPECT_EQ(names().size(), 2U);
  EXPECT_THAT(names(), testing::Not(testing::Contains(stale[0])));
  EXPECT_EQ(code_of(open(other_key_file_)), "ok");
  EXPECT_EQ(code_of(open(key_file_)), "wrong_key");
}

// A store that fails from its n-th change on, the change itself done or not.
class FailingStore : public BorrowedStore {
 public:
  FailingStore(ObjectStore& store, int changes_left, bool done_nevertheless)
      : BorrowedStore(store), changes_left_(changes_left), done_nevertheless_(done_nevertheless) {}
  Result<void> put(std::string_view name, ByteView content) override {
    if (changes_left_-- > 0) return BorrowedStore::put(name, content);
    if (done_nevertheless_) PGS_CHECK(BorrowedStore::put(name, content));
    return fail(ErrorCode::unavailable, "no answer");
  }
  Result<void> remove(std::string_view name) override {
    if (changes_left_-- > 0) return BorrowedStore::remove(name);
    if (done_nevertheless_) PGS_CHECK(BorrowedStore::remove(name));
    return fail(ErrorCode::unavailable, "no answer");
  }

 private:
  int changes_left_;
  bool done_nevertheless_;
};

TEST_F(RepositoryTest, WhateverHasADescriptorOpensWhereverInitStopped) {
  for (const bool done_nevertheless : {false, true}) {
    for (int changes = 0; changes < 4; ++changes) {
      MemoryStore store;
      auto failing = std::make_unique<FailingStore>(store, changes, done_nevertheless);
      const auto made = Repository::create(std::move(failing), key_file_, clock_);
      const auto opened = Repository::open(borrow(store), key_file_);
      if (made.has_value() || store.stat("repository").has_value()) {
        EXPECT_EQ(message_of(opened), "ok") << changes;
      } else {
        EXPECT_EQ(code_of(opened), "not_found") << changes;
        EXPECT_EQ(message_of(Repository::create(borrow(store), key_file_, clock_)), "ok") << changes;
      }
    }
  }
}

TEST_F(RepositoryTest, SaysWhereThereIsNone) {
  const auto opened = open(key_file_);
  ASSERT_EQ(code_of(opened), "not_found");
  EXPECT_THAT(message_of(opened), HasSubstr("memory"));
  EXPECT_THAT(opened.error().hint(), HasSubstr("pgstrata init"));
  EXPECT_THAT(opened.error().hint(), HasSubstr("mounted"));
}

TEST_F(RepositoryTest, SaysWhyAKeyDoesNotFit) {
  ASSERT_EQ(code_of(create(passphrase_)), "ok");
  EXPECT_EQ(message_of(open(Passphrase{.text = "wrong"})),
            "no key slot of this repository opens with this passphrase");
  EXPECT_EQ(code_of(open(Passphrase{.text = "wrong"})), "wrong_key");
  EXPECT_EQ(message_of(open(key_file_)), "this repository opens with a passphrase, and was given a key file");
  EXPECT_EQ(code_of(open(key_file_)), "wrong_key");
  EXPECT_EQ(message_of(open(NoEncryption{})),
            "this repository opens with a passphrase, and was given no key");
  EXPECT_EQ(code_of(open(Passphrase{})), "usage");
}

TEST_F(RepositoryTest, TellsWhichSecretsOpenItBeforeOneIsGiven) {
  EXPECT_EQ(code_of(Repository::key_slot_kinds(store_)), "not_found");
  auto repository = create(passphrase_);
  EXPECT_THAT(*Repository::key_slot_kinds(store_), ElementsAre(KeySlotKind::passphrase));
  ASSERT_EQ(code_of(repository->add_key_slot(key_file_, clock_)), "ok");
  EXPECT_THAT(*Repository::key_slot_kinds(store_),
              testing::UnorderedElementsAre(KeySlotKind::passphrase, KeySlotKind::key_file));
}

// Whoever gives a key means a repository that only that key opens: anybody can make one that opens without.
TEST_F(RepositoryTest, OneWithoutEncryptionDoesNotOpenWithAKey) {
  ASSERT_EQ(code_of(create(NoEncryption{})), "ok");
  EXPECT_EQ(code_of(open(NoEncryption{})), "ok");
  for (const KeySource& source : {key_file_, passphrase_}) {
    const auto opened = open(source);
    EXPECT_EQ(code_of(opened), "wrong_key");
    EXPECT_THAT(opened.error().hint(), testing::HasSubstr("another in its place"));
  }
}

TEST_F(RepositoryTest, AnOpenSlotThatSomebodyPutThereDoesNotStandInForTheKey) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository), "ok");
  // The attacker's: another key under the public secret, listed before the real slot.
  const KeySlotInfo forged{.id = "00000000", .kind = KeySlotKind::none, .created = clock_.now()};
  const auto slot = seal_key_slot(repository->id(), forged, NoEncryption{}, SecretKey::random());
  ASSERT_TRUE(slot);
  ASSERT_TRUE(store_.put(key_slot_name(forged.id), *slot));
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  auto opened = open(key_file_);
  ASSERT_EQ(message_of(opened), "ok");
  EXPECT_EQ(code_of(opened->open_cluster("app")), "ok") << "under the real key";
  EXPECT_EQ(code_of(opened->remove_key_slot(repository->key_slots()->back().id)), "usage")
      << "the only one that is known to open it stays";
}

TEST_F(RepositoryTest, RefusesSecretsThatAreTooShort) {
  EXPECT_EQ(code_of(create(KeyFile{.secret = Bytes(31)})), "usage");
  EXPECT_EQ(code_of(create(Passphrase{})), "usage");
  EXPECT_TRUE(names().empty());
}

TEST_F(RepositoryTest, SlotsAreAddedAndRemoved) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository), "ok");
  const std::string first = repository->key_slots()->front().id;
  const auto last = repository->remove_key_slot(first);
  EXPECT_EQ(code_of(last), "usage");
  EXPECT_EQ(code_of(repository->add_key_slot(key_file_, clock_)), "already_exists");
  EXPECT_EQ(repository->key_slots()->size(), 1U);
  const auto added = repository->add_key_slot(other_key_file_, clock_);
  ASSERT_EQ(message_of(added), "ok");
  EXPECT_EQ(repository->key_slots()->size(), 2U);
  EXPECT_EQ(code_of(open(other_key_file_)), "ok");
  EXPECT_EQ(code_of(open(key_file_)), "ok");
  EXPECT_EQ(code_of(repository->remove_key_slot(first)), "usage") << "it was opened by that one";
  auto by_other = open(other_key_file_);
  ASSERT_EQ(message_of(by_other), "ok");
  EXPECT_EQ(code_of(by_other->remove_key_slot(first)), "ok");
  EXPECT_EQ(code_of(open(key_file_)), "wrong_key");
  EXPECT_EQ(code_of(open(other_key_file_)), "ok");
  EXPECT_EQ(code_of(by_other->remove_key_slot(first)), "not_found");
}

// A store that calls somebody else in between, just before an object is removed.
class InterruptedStore : public BorrowedStore {
 public:
  using BorrowedStore::BorrowedStore;
  Result<void> remove(std::string_view name) override {
    if (auto call = std::exchange(before_remove, {})) call();
    return BorrowedStore::remove(name);
  }
  std::function<void()> before_remove;
};

TEST_F(RepositoryTest, TwoThatRemoveEachOthersLastSlotLeaveOne) {
  auto repository = create(key_file_);
  const std::string first = repository->key_slots()->front().id;
  const std::string second = repository->add_key_slot(other_key_file_, clock_)->id;
  InterruptedStore interrupted(store_);
  auto other = Repository::open(borrow(interrupted), key_file_);
  ASSERT_EQ(message_of(other), "ok");
  auto by_second = open(other_key_file_);
  ASSERT_EQ(message_of(by_second), "ok");
  interrupted.before_remove = [&] { EXPECT_EQ(code_of(by_second->remove_key_slot(first)), "ok"); };
  EXPECT_EQ(code_of(other->remove_key_slot(second)), "busy");
  EXPECT_EQ(code_of(open(other_key_file_)), "ok");
  EXPECT_EQ(code_of(open(key_file_)), "wrong_key");
}

TEST_F(RepositoryTest, IsEncryptedWhenNoOpenSlotIsLeft) {
  auto repository = create(NoEncryption{});
  ASSERT_EQ(code_of(repository), "ok");
  const std::string open_slot = repository->key_slots()->front().id;
  ASSERT_EQ(code_of(repository->add_key_slot(key_file_, clock_)), "ok");
  EXPECT_FALSE(repository->encrypted());
  auto by_key = open(key_file_);
  ASSERT_EQ(message_of(by_key), "ok");
  ASSERT_EQ(code_of(by_key->remove_key_slot(open_slot)), "ok");
  EXPECT_TRUE(by_key->encrypted());
  EXPECT_EQ(code_of(open(NoEncryption{})), "wrong_key");
}

TEST_F(RepositoryTest, ADamagedSlotCanBeRemovedAndDoesNotStopTheOthers) {
  auto repository = create(key_file_);
  const std::string broken = repository->add_key_slot(other_key_file_, clock_)->id;
  overwrite(store_, key_slot_name(broken), as_byte_view("{}"));
  EXPECT_EQ(code_of(open(key_file_)), "ok");
  EXPECT_EQ(code_of(open(other_key_file_)), "wrong_key");
  EXPECT_EQ(code_of(repository->key_slots()), "damaged");
  EXPECT_EQ(code_of(repository->remove_key_slot(broken)), "ok");
  EXPECT_EQ(code_of(repository->key_slots()), "ok");
}

TEST_F(RepositoryTest, ThingsOfImpossibleSizeAreDamaged) {
  auto repository = create(key_file_);
  const std::string broken = repository->add_key_slot(other_key_file_, clock_)->id;
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  const Bytes large(std::size_t{1} << 20);
  overwrite(store_, key_slot_name(broken), large);
  EXPECT_EQ(code_of(open(key_file_)), "ok");
  EXPECT_EQ(code_of(repository->key_slots()), "damaged");
  EXPECT_EQ(code_of(repository->remove_key_slot(broken)), "ok");
  overwrite(store_, "clusters/app/key", large);
  EXPECT_EQ(code_of(repository->open_cluster("app")), "damaged");
  overwrite(store_, "repository", large);
  EXPECT_EQ(code_of(open(key_file_)), "damaged");
}

TEST_F(RepositoryTest, AnyDamageToDescriptorOrSlotIsTold) {
  ASSERT_EQ(code_of(create(key_file_)), "ok");
  for (const std::string& name : names()) {
    // The end of the line is not part of the content.
    const std::string harmless = fmt::format("cut to {} bytes", store_.stat(name)->size_bytes - 1);
    for_each_damage(store_, name, [&](const std::string& what) {
      if (what == harmless) return;
      const auto opened = open(key_file_);
      EXPECT_EQ(code_of(opened), "damaged") << name << ": " << what << ": " << message_of(opened);
      EXPECT_THAT(message_of(opened), HasSubstr(name)) << what;
    });
  }
}

TEST_F(RepositoryTest, WithoutAnySlotIsDamaged) {
  ASSERT_EQ(code_of(create(key_file_)), "ok");
  ASSERT_TRUE(store_.remove(names().front()).has_value());
  EXPECT_EQ(code_of(open(key_file_)), "damaged");
}

TEST_F(RepositoryTest, WhatIsAnotherRepositorysIsNamed) {
  ASSERT_EQ(code_of(create(key_file_)), "ok");
  MemoryStore elsewhere;
  ASSERT_EQ(code_of(Repository::create(borrow(elsewhere), key_file_, clock_)), "ok");
  const auto slot = store_.list_all("keys/")->front().name;
  const auto foreign_slot = elsewhere.list_all("keys/")->front().name;
  const auto hint_of = [](const auto& refused) { return refused ? std::string() : refused.error().hint(); };

  // Beside this one's own.
  ASSERT_TRUE(store_.put(foreign_slot, *elsewhere.get(foreign_slot)).has_value());
  EXPECT_EQ(code_of(open(key_file_)), "ok");
  const auto wrong = open(other_key_file_);
  EXPECT_EQ(code_of(wrong), "wrong_key");
  EXPECT_THAT(hint_of(wrong), HasSubstr(foreign_slot));
  EXPECT_THAT(hint_of(open(NoEncryption{})), HasSubstr(foreign_slot));

  // In its place.
  const Bytes own = *store_.get(slot);
  ASSERT_TRUE(store_.remove(slot).has_value());
  const auto no_own = open(key_file_);
  EXPECT_EQ(code_of(no_own), "damaged");
  EXPECT_THAT(message_of(no_own), HasSubstr("\"" + foreign_slot + "\" is of another repository"));
  EXPECT_THAT(hint_of(no_own), HasSubstr("copied"));
  ASSERT_TRUE(store_.remove(foreign_slot).has_value());
  EXPECT_THAT(message_of(open(key_file_)), HasSubstr("\"keys/\""));
  ASSERT_TRUE(store_.put(slot, own).has_value());

  overwrite(store_, "repository", *elsewhere.get("repository"));
  const auto descriptor = open(key_file_);
  EXPECT_EQ(code_of(descriptor), "damaged");
  EXPECT_THAT(message_of(descriptor),
              HasSubstr("\"" + slot + "\" is of another repository than \"repository\""));
}

TEST_F(RepositoryTest, ClustersComeBackWithTheirKeys) {
  auto repository = create(key_file_);
  const auto made = repository->create_cluster("app");
  ASSERT_EQ(message_of(made), "ok");
  EXPECT_EQ(made->object_name("packs/abc"), "clusters/app/packs/abc");
  const auto opened = open(key_file_)->open_cluster("app");
  ASSERT_EQ(message_of(opened), "ok");
  const auto equal = [](const SecretKey& a, const SecretKey& b) {
    return std::ranges::equal(a.view(), b.view());
  };
  EXPECT_TRUE(equal(opened->tag_key(), made->tag_key()));
  const Bytes id(16);
  EXPECT_TRUE(equal(opened->object_key(id, "pack v1"), made->object_key(id, "pack v1")));
  EXPECT_FALSE(equal(opened->object_key(id, "record v1"), made->object_key(id, "pack v1")));
  EXPECT_FALSE(equal(opened->tag_key(), repository->create_cluster("other")->tag_key()));
}

TEST_F(RepositoryTest, ClustersAreListedWithoutLookingAtAllTheirObjects) {
  auto repository = create(key_file_);
  EXPECT_TRUE(repository->clusters()->empty());
  for (const char* name : {"b", "a-b", "a", "a_b", "a0"})
    ASSERT_EQ(code_of(repository->create_cluster(name)), "ok");
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(store_.put(fmt::format("clusters/a/packs/{}", i), as_byte_view("x")).has_value());
    ASSERT_TRUE(store_.put(fmt::format("clusters/destroyed/packs/{}", i), as_byte_view("x")).has_value());
  }
  EXPECT_THAT(*repository->clusters(), ElementsAre("a", "a-b", "a0", "a_b", "b"));
  EXPECT_EQ(repository->open_cluster("a")->list("packs/")->size(), 100U);
  EXPECT_EQ(repository->open_cluster("a")->list("packs/1")->front().name, "packs/1");
}

TEST_F(RepositoryTest, WhatCanBeNoClusterHidesNone) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  for (const char* name : {"clusters/Cpp/key", "clusters/9/x", "clusters/note", "clusters/gone/packs/1"})
    ASSERT_TRUE(store_.put(name, as_byte_view("x")).has_value());
  EXPECT_THAT(*repository->clusters(), ElementsAre("app"));
  EXPECT_THAT(*repository->clusters_without_key(), ElementsAre("gone"));
  EXPECT_THAT(*repository->foreign_beside_clusters(),
              ElementsAre("clusters/9", "clusters/Cpp", "clusters/note"));
}

TEST_F(RepositoryTest, ClusterNamesAreTakenOnceAndChecked) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  EXPECT_EQ(code_of(repository->create_cluster("app")), "already_exists");
  for (const std::string& name : {std::string(""), std::string("App"), std::string("1a"), std::string("a/b"),
                                  std::string("a.b"), std::string(49, 'a'), std::string("_a")}) {
    EXPECT_EQ(code_of(repository->create_cluster(name)), "usage") << name;
    EXPECT_EQ(code_of(check_cluster_name(name)), "usage") << name;
  }
  EXPECT_EQ(code_of(check_cluster_name(std::string(48, 'a'))), "ok");
  const auto missing = repository->open_cluster("ap");
  ASSERT_EQ(code_of(missing), "not_found");
  EXPECT_THAT(missing.error().hint(), HasSubstr("app"));
}

TEST_F(RepositoryTest, ADestroyedClusterStaysDestroyed) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  ASSERT_TRUE(store_.put("clusters/app/packs/1", as_byte_view("x")).has_value());
  ASSERT_TRUE(store_.remove("clusters/app/key").has_value());
  EXPECT_THAT(message_of(repository->open_cluster("app")), HasSubstr("its key is gone"));
  EXPECT_EQ(code_of(repository->create_cluster("app")), "already_exists");
}

TEST_F(RepositoryTest, AClusterKeyOpensOnlyWhereItBelongs) {
  auto repository = create(key_file_);
  ASSERT_EQ(code_of(repository->create_cluster("app")), "ok");
  ASSERT_TRUE(store_.put("clusters/web/key", *store_.get("clusters/app/key")).has_value());
  EXPECT_EQ(code_of(repository->open_cluster("web")), "damaged");

  MemoryStore other;
  const auto other_repository = Repository::create(borrow(other), key_file_, clock_);
  ASSERT_TRUE(other.put("clusters/app/key", *store_.get("clusters/app/key")).has_value());
  EXPECT_EQ(code_of(other_repository->open_cluster("app")), "damaged");

  const std::string harmless =
      fmt::format("cut to {} bytes", store_.stat("clusters/app/key")->size_bytes - 1);
  for_each_damage(store_, "clusters/app/key", [&](const std::string& what) {
    if (what == harmless) return;
    const auto opened = repository->open_cluster("app");
    EXPECT_EQ(code_of(opened), "damaged") << what;
    EXPECT_THAT(message_of(opened), HasSubstr("clusters/app/key")) << what;
  });
}

}  // namespace
}  // namespace pgstrata
