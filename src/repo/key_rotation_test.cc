// A new repository key, whatever else happens meanwhile.
#include "base/sanitized.h"
#include "codec/digest.h"
#include "repo/at_each_step.h"
#include "repo/cluster_key.h"
#include "repo/rotation_record.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const KeySource first_secret = KeyFile{.secret = Bytes(40, std::byte{1})};
const KeySource second_secret = KeyFile{.secret = Bytes(40, std::byte{2})};
const KeySource third_secret = KeyFile{.secret = Bytes(40, std::byte{3})};
const std::vector<KeySource> secrets{first_secret, second_secret, third_secret};
// Coprime to the two or three calls of which most steps of a rotation consist.
constexpr std::uint64_t cut_stride = sanitized ? 23 : 7;
const KeyRotationOptions keep_others{};
const KeyRotationOptions drop_others{.drop_other_slots = true};

SecretKey key_of_app() {
  return fixed_key(1);
}
SecretKey key_of_web() {
  return fixed_key(2);
}

bool same(const SecretKey& one, const SecretKey& other) {
  return std::ranges::equal(one.view(), other.view());
}

std::unique_ptr<Repository> open(ObjectStore& store, const KeySource& secret) {
  auto repository = Repository::open(borrow(store), secret);
  return repository.has_value() ? std::make_unique<Repository>(*std::move(repository)) : nullptr;
}

// With two clusters, and a key file.
void prepare(ObjectStore& store) {
  auto repository = Repository::create(borrow(store), first_secret, HeldClock());
  ASSERT_EQ(message_of(repository), "ok");
  ASSERT_EQ(message_of(repository->adopt_cluster("app", key_of_app())), "ok");
  ASSERT_EQ(message_of(repository->adopt_cluster("web", key_of_web())), "ok");
}

void expect_clusters(const Repository& repository) {
  const auto app = repository.open_cluster("app");
  ASSERT_EQ(message_of(app), "ok");
  EXPECT_TRUE(same(app->key(), key_of_app()));
  const auto web = repository.open_cluster("web");
  ASSERT_EQ(message_of(web), "ok");
  EXPECT_TRUE(same(web->key(), key_of_web()));
}

bool has_slot(ObjectStore& store, const RepositoryId& id, const KeySource& secret) {
  const auto slots = store.list_all("keys/");
  return std::ranges::any_of(*slots, [&](const ObjectInfo& slot) {
    return open_key_slot(id, slot.name.substr(5), *store.get(slot.name), secret).has_value();
  });
}

// Every secret that has a slot leads to all clusters, and one has.
void expect_whole(ObjectStore& store) {
  std::optional<RepositoryId> id;
  for (const KeySource& secret : secrets) {
    const auto repository = open(store, secret);
    if (!repository) continue;
    id = repository->id();
    expect_clusters(*repository);
    const std::vector<std::string> clusters = *repository->clusters();
    for (const std::string& name : clusters) EXPECT_EQ(message_of(repository->open_cluster(name)), "ok");
  }
  ASSERT_TRUE(id);
  for (const KeySource& secret : secrets) EXPECT_TRUE(open(store, secret) || !has_slot(store, *id, secret));
}

// The key that is in each slot and that wraps each cluster's key, all of them one.
void expect_one_key(ObjectStore& store) {
  const auto rotation = read_rotation(store);
  ASSERT_EQ(message_of(rotation), "ok");
  ASSERT_TRUE(rotation->has_value());
  EXPECT_TRUE((*rotation)->record.settled());
  EXPECT_TRUE((*rotation)->record.wrapped.empty());
  for (const KeySource& secret : secrets) {
    const auto repository = open(store, secret);
    if (!repository) continue;
    const auto slots = repository->key_slots();
    ASSERT_EQ(message_of(slots), "ok");
    for (const KeySlotInfo& slot : *slots) EXPECT_EQ(slot.repository_key, (*rotation)->record.key);
    const std::vector<std::string> clusters = *repository->clusters();
    for (const std::string& name : clusters) {
      const Bytes stored = *store.get(cluster_object_name(name, "key"));
      EXPECT_THAT(as_text(stored), HasSubstr(to_hex((*rotation)->record.key))) << name;
    }
  }
}

bool rotate(ObjectStore& store, const KeySource& secret, const KeySource& next,
            const KeyRotationOptions& options = keep_others) {
  const auto repository = open(store, secret);
  return repository && repository->rotate_key(next, options, HeldClock()).has_value();
}

// By whichever secret opens the repository now.
void expect_finishes(ObjectStore& store, const KeySource& next, const KeyRotationOptions& options) {
  for (const KeySource& secret : secrets) {
    const auto repository = open(store, secret);
    if (!repository) continue;
    EXPECT_EQ(message_of(repository->rotate_key(next, options, HeldClock())), "ok");
    EXPECT_FALSE(*repository->key_rotation_unfinished());
    expect_clusters(*repository);
    break;
  }
  expect_whole(store);
  expect_one_key(store);
}

class KeyRotationTest : public testing::Test {
 protected:
  void SetUp() override { prepare(store_); }

  MemoryStore store_;
  HeldClock clock_;
};

TEST_F(KeyRotationTest, DrawsANewKeyForTheSameSecret) {
  const Bytes slot_before = *store_.get(store_.list_all("keys/")->front().name);
  const Bytes app_before = *store_.get("clusters/app/key");
  const auto repository = open(store_, first_secret);
  const auto outcome = repository->rotate_key(first_secret, keep_others, clock_);
  ASSERT_EQ(message_of(outcome), "ok");
  EXPECT_EQ(outcome->clusters, 2U);
  EXPECT_THAT(outcome->removed_slots, SizeIs(1));
  EXPECT_FALSE(outcome->resumed);
  EXPECT_EQ(outcome->slot.kind, KeySlotKind::key_file);
  expect_clusters(*repository);
  expect_whole(store_);
  expect_one_key(store_);

  // The former slot opens no cluster: neither those of before nor new ones.
  const auto slots = store_.list_all("keys/");
  ASSERT_THAT(*slots, SizeIs(1));
  const auto former = open_key_slot(repository->id(), outcome->removed_slots[0], slot_before, first_secret);
  ASSERT_EQ(message_of(former), "ok");
  EXPECT_EQ(code_of(open_cluster_key(repository->id(), *former, "app", *store_.get("clusters/app/key"))),
            "wrong_key");
  // A copy of what was there before still does: that is what it does not protect from.
  EXPECT_EQ(code_of(open_cluster_key(repository->id(), *former, "app", app_before)), "ok");

  EXPECT_EQ(message_of(repository->rotate_key(first_secret, keep_others, clock_)), "ok");
  expect_one_key(store_);
}

TEST_F(KeyRotationTest, ANewSecretTakesThePlaceOfTheOneThatOpened) {
  ASSERT_TRUE(rotate(store_, first_secret, second_secret));
  EXPECT_EQ(code_of(Repository::open(borrow(store_), first_secret)), "wrong_key");
  expect_clusters(*open(store_, second_secret));
}

TEST_F(KeyRotationTest, OneThatNeededNoSecretIsEncryptedFromThenOn) {
  MemoryStore store;
  auto repository = *Repository::create(borrow(store), NoEncryption{}, clock_);
  ASSERT_EQ(message_of(repository.create_cluster("app")), "ok");
  EXPECT_FALSE(repository.encrypted());
  ASSERT_EQ(message_of(repository.rotate_key(first_secret, keep_others, clock_)), "ok");
  EXPECT_TRUE(repository.encrypted());
  EXPECT_EQ(code_of(Repository::open(borrow(store), NoEncryption{})), "wrong_key");
  EXPECT_EQ(message_of(open(store, first_secret)->open_cluster("app")), "ok");
}

TEST_F(KeyRotationTest, SlotsOfOtherSecretsGoOnlyOnPurpose) {
  const auto repository = open(store_, first_secret);
  const auto other = repository->add_key_slot(third_secret, clock_);
  ASSERT_EQ(message_of(other), "ok");
  const auto before = store_.list_all("");
  const auto refused = repository->rotate_key(first_secret, keep_others, clock_);
  EXPECT_EQ(code_of(refused), "usage");
  EXPECT_THAT(message_of(refused), HasSubstr(other->id));
  EXPECT_EQ(store_.list_all("")->size(), before->size());
  // A secret that is given is none of the others.
  ASSERT_EQ(message_of(repository->rotate_key(third_secret, keep_others, clock_)), "ok");
  ASSERT_EQ(message_of(repository->add_key_slot(second_secret, clock_)), "ok");
  ASSERT_EQ(message_of(repository->rotate_key(third_secret, drop_others, clock_)), "ok");
  EXPECT_EQ(code_of(Repository::open(borrow(store_), second_secret)), "wrong_key");
  expect_clusters(*open(store_, third_secret));
  expect_one_key(store_);
}

TEST_F(KeyRotationTest, ADamagedSlotIsOneOfTheOthers) {
  ASSERT_TRUE(store_.put("keys/0badbad0", as_byte_view("torn")).has_value());
  const auto repository = open(store_, first_secret);
  EXPECT_THAT(message_of(repository->rotate_key(first_secret, keep_others, clock_)), HasSubstr("0badbad0"));
  ASSERT_EQ(message_of(repository->rotate_key(first_secret, drop_others, clock_)), "ok");
  EXPECT_THAT(*store_.list_all("keys/"), SizeIs(1));
}

TEST_F(KeyRotationTest, AnUnfitSecretOrADamagedClusterKeyLeaveAllAsItIs) {
  const auto repository = open(store_, first_secret);
  EXPECT_EQ(code_of(repository->rotate_key(KeyFile{.secret = Bytes(3)}, keep_others, clock_)), "usage");
  overwrite(store_, "clusters/app/key", as_byte_view("torn"));
  const auto refused = repository->rotate_key(first_secret, keep_others, clock_);
  EXPECT_EQ(code_of(refused), "damaged");
  EXPECT_THAT(message_of(refused), HasSubstr("app"));
  EXPECT_EQ(code_of(store_.stat("rotation")), "not_found");
}

TEST_F(KeyRotationTest, WhoOpenedItBeforeGoesOnWhileItsSecretHasASlot) {
  const auto early = open(store_, first_secret);
  ASSERT_TRUE(rotate(store_, first_secret, first_secret));
  expect_clusters(*early);
  EXPECT_EQ(message_of(early->create_cluster("new")), "ok");
  EXPECT_EQ(message_of(early->add_key_slot(second_secret, clock_)), "ok");
  expect_whole(store_);
  expect_one_key(store_);

  ASSERT_TRUE(rotate(store_, first_secret, third_secret, drop_others));
  for (const auto& refused : {code_of(early->open_cluster("app")), code_of(early->create_cluster("newer")),
                              code_of(early->adopt_cluster("newer", key_of_app())),
                              code_of(early->add_key_slot(second_secret, clock_))})
    EXPECT_EQ(refused, "wrong_key");
  EXPECT_THAT(message_of(early->open_cluster("app")), HasSubstr("was rotated"));
  EXPECT_THAT(*open(store_, third_secret)->clusters(), ElementsAre("app", "new", "web"));
}

TEST_F(KeyRotationTest, ALostNewSecretIsNoDeadEnd) {
  // Cut short when the new key has a slot and the former ones are still there.
  bool found = false;
  for (std::uint64_t step = 1; !found; ++step) {
    MemoryStore store;
    prepare(store);
    FaultStore faulty(store, 1);
    faulty.set_fault({.kind = Fault::Kind::error, .at_step = step, .step_count = 1'000});
    ASSERT_FALSE(rotate(faulty, first_secret, second_secret)) << "no such step";
    const auto rotation = *read_rotation(store);
    if (!rotation || rotation->record.step != RotationStep::slotted) continue;
    found = true;
    const auto repository = open(store, first_secret);
    EXPECT_TRUE(*repository->key_rotation_unfinished());
    const auto refused = repository->rotate_key(first_secret, keep_others, clock_);
    EXPECT_EQ(code_of(refused), "busy");
    EXPECT_EQ(code_of(repository->add_key_slot(third_secret, clock_)), "busy");
    const auto slots = *repository->key_slots();
    const auto lost = std::ranges::find(slots, rotation->record.key, &KeySlotInfo::repository_key);
    ASSERT_NE(lost, slots.end());
    EXPECT_THAT(message_of(refused), HasSubstr(lost->id));
    ASSERT_EQ(message_of(repository->remove_key_slot(lost->id)), "ok");
    ASSERT_EQ(message_of(repository->rotate_key(first_secret, keep_others, clock_)), "ok");
    expect_whole(store);
    expect_one_key(store);
  }
}

TEST_F(KeyRotationTest, ADamagedRecordOfItHidesNothingAndIsTold) {
  ASSERT_TRUE(rotate(store_, first_secret, first_secret));
  const auto repository = open(store_, first_secret);
  const auto whole = *read_rotation(store_);
  for_each_damage(store_, "rotation", [&](const std::string& what) {
    const auto record = read_rotation(store_);
    // Without its line end alone it says the same.
    EXPECT_TRUE(record.has_value() ? (*record)->record.key == whole->record.key
                                   : record.error().code() == ErrorCode::damaged)
        << what;
  });
  overwrite(store_, "rotation", as_byte_view("torn"));
  expect_clusters(*open(store_, first_secret));
  EXPECT_EQ(code_of(repository->create_cluster("new")), "damaged");
  EXPECT_EQ(code_of(repository->rotate_key(first_secret, keep_others, clock_)), "damaged");
  ASSERT_TRUE(store_.remove("rotation").has_value());
  EXPECT_EQ(message_of(repository->rotate_key(first_secret, keep_others, clock_)), "ok");
  expect_whole(store_);
}

TEST_F(KeyRotationTest, AClusterWhoseAddDiedDuringItIsTold) {
  // As a process leaves it that put the key and went no further.
  const auto early = open(store_, first_secret);
  MemoryStore other;
  prepare(other);
  const Bytes former = *store_.get("clusters/app/key");
  ASSERT_TRUE(rotate(store_, first_secret, first_secret));
  overwrite(store_, "clusters/app/key", former);
  const auto lost = open(store_, first_secret)->open_cluster("app");
  EXPECT_EQ(code_of(lost), "damaged");
  EXPECT_THAT(message_of(lost), HasSubstr("no longer has"));
}

TEST(KeyRotationCrashTest, AtEachStepEverySlotLeadsToAllAndRepeatingFinishesIt) {
  std::unique_ptr<Repository> early;
  at_each_step([&](ObjectStore& store) { return rotate(store, first_secret, first_secret); },
               [&](ObjectStore& store, bool done) {
                 const auto early_too = std::move(early);
                 expect_whole(store);
                 expect_clusters(*early_too);
                 if (done) expect_one_key(store);
                 expect_finishes(store, first_secret, keep_others);
                 expect_clusters(*early_too);
                 EXPECT_THAT(*store.list_all("keys/"), SizeIs(1));
               },
               [&](ObjectStore& store) {
                 prepare(store);
                 early = open(store, first_secret);
               },
               few_crash_seeds);
}

TEST(KeyRotationCrashTest, ToAnotherSecretWithOthersThatGo) {
  at_each_step([&](ObjectStore& store) { return rotate(store, first_secret, second_secret, drop_others); },
               [&](ObjectStore& store, bool) {
                 expect_whole(store);
                 expect_finishes(store, second_secret, drop_others);
                 EXPECT_THAT(*store.list_all("keys/"), SizeIs(1));
                 expect_clusters(*open(store, second_secret));
               },
               [](ObjectStore& store) {
                 prepare(store);
                 ASSERT_EQ(message_of(open(store, first_secret)->add_key_slot(third_secret, HeldClock())),
                           "ok");
               },
               few_crash_seeds);
}

TEST(KeyRotationCrashTest, AClusterIsAddedAfterItWasCutShortAnywhere) {
  std::unique_ptr<Repository> early;
  at_each_step([&](ObjectStore& store) { return rotate(store, first_secret, first_secret, drop_others); },
               [&](ObjectStore& store, bool) {
                 EXPECT_EQ(message_of(early->adopt_cluster("new", fixed_key(7))), "ok");
                 early.reset();
                 EXPECT_EQ(message_of(open(store, first_secret)->create_cluster("newer")), "ok");
                 expect_whole(store);
                 expect_finishes(store, first_secret, drop_others);
                 EXPECT_TRUE(same(open(store, first_secret)->open_cluster("new")->key(), fixed_key(7)));
               },
               [&](ObjectStore& store) {
                 prepare(store);
                 early = open(store, first_secret);
                 ASSERT_EQ(message_of(early->add_key_slot(third_secret, HeldClock())), "ok");
               },
               few_crash_seeds);
}

TEST(KeyRotationRaceTest, TwoAtOnceLeaveOneKey) {
  between_all_steps(
      prepare, [](ObjectStore& store) { EXPECT_TRUE(rotate(store, first_secret, first_secret)); },
      [](ObjectStore& store) { EXPECT_TRUE(rotate(store, first_secret, first_secret)); },
      [](ObjectStore& store) {
        expect_whole(store);
        expect_one_key(store);
      });
}

TEST(KeyRotationRaceTest, TwoAtOnceOfWhichOneIsCutShort) {
  for (std::uint64_t cut_at = 1; cut_at < 40; cut_at += cut_stride) {
    between_all_steps(
        prepare, [](ObjectStore& store) { (void)rotate(store, first_secret, first_secret); },
        [&](ObjectStore& store) {
          FaultStore faulty(store, cut_at);
          faulty.set_fault({.kind = Fault::Kind::crash, .at_step = cut_at});
          (void)rotate(faulty, first_secret, first_secret);
        },
        [](ObjectStore& store) {
          expect_whole(store);
          expect_finishes(store, first_secret, keep_others);
        });
  }
}

TEST(KeyRotationRaceTest, TwoAtOnceWithSecretsOfTheirOwn) {
  between_all_steps(
      prepare, [](ObjectStore& store) { (void)rotate(store, first_secret, second_secret, drop_others); },
      [](ObjectStore& store) { (void)rotate(store, first_secret, third_secret, drop_others); },
      [](ObjectStore& store) {
        expect_whole(store);
        const bool second = open(store, second_secret) != nullptr;
        expect_finishes(store, second ? second_secret : third_secret, drop_others);
      });
}

// Dies when it has taken so many steps of a rotation.
class DyingStore : public BorrowedStore {
 public:
  DyingStore(ObjectStore& store, int steps) : BorrowedStore(store), steps_left_(steps) {}

  Result<std::string> replace(std::string_view name, const std::optional<std::string>& expected,
                              ByteView content) override {
    if (steps_left_ == 0) return dead();
    auto done = BorrowedStore::replace(name, expected, content);
    if (done.has_value() && name == rotation_record_name) --steps_left_;
    return done;
  }
  Result<void> put(std::string_view name, ByteView content) override {
    return steps_left_ == 0 ? dead() : BorrowedStore::put(name, content);
  }
  Result<void> remove(std::string_view name) override {
    return steps_left_ == 0 ? dead() : BorrowedStore::remove(name);
  }

 private:
  static std::unexpected<Error> dead() { return fail(ErrorCode::unavailable, "dead"); }

  int steps_left_;
};

TEST(KeyRotationRaceTest, TwoAtOnceWithSecretsOfTheirOwnOfWhichOneDies) {
  for (int steps = 1; steps <= 3; ++steps) {
    between_all_steps(
        prepare, [](ObjectStore& store) { (void)rotate(store, first_secret, second_secret); },
        [&](ObjectStore& store) {
          DyingStore dying(store, steps);
          (void)rotate(dying, first_secret, third_secret);
        },
        [](ObjectStore& store) {
          expect_whole(store);
          EXPECT_TRUE(std::ranges::any_of(
              secrets, [&](const KeySource& secret) { return rotate(store, secret, secret, drop_others); }));
          expect_whole(store);
          expect_one_key(store);
        });
  }
}

TEST(KeyRotationRaceTest, AClusterThatIsAddedDuringItIsKept) {
  std::unique_ptr<Repository> early;
  between_all_steps(
      [&](ObjectStore& store) {
        prepare(store);
        early = open(store, first_secret);
      },
      [](ObjectStore& store) { EXPECT_TRUE(rotate(store, first_secret, first_secret)); },
      [&](ObjectStore&) { EXPECT_EQ(message_of(early->adopt_cluster("new", fixed_key(7))), "ok"); },
      [&](ObjectStore& store) {
        early.reset();
        expect_whole(store);
        expect_one_key(store);
        const auto space = open(store, first_secret)->open_cluster("new");
        EXPECT_TRUE(code_of(space) == "not_found" || same(space->key(), fixed_key(7)));
      });
}

// The whole rotation, or a part of one, between any two steps of who adds a cluster, or a key.
TEST(KeyRotationRaceTest, ItPassesWhileAClusterOrAKeyIsAdded) {
  for (std::uint64_t cut_at = 1; cut_at < 60; cut_at += cut_stride) {
    between_all_steps(
        prepare,
        [](ObjectStore& store) {
          const auto repository = open(store, first_secret);
          ASSERT_TRUE(repository);
          EXPECT_EQ(message_of(repository->adopt_cluster("new", fixed_key(7))), "ok");
          const auto added = repository->add_key_slot(third_secret, HeldClock());
          EXPECT_TRUE(added.has_value() || added.error().code() == ErrorCode::busy) << message_of(added);
        },
        [&](ObjectStore& store) {
          FaultStore faulty(store, cut_at);
          faulty.set_fault({.kind = Fault::Kind::error, .at_step = cut_at, .step_count = 1'000});
          (void)rotate(faulty, first_secret, first_secret);
        },
        [](ObjectStore& store) {
          expect_whole(store);
          expect_finishes(store, first_secret, drop_others);
          EXPECT_TRUE(same(open(store, first_secret)->open_cluster("new")->key(), fixed_key(7)));
        });
  }
}

TEST(KeyRotationRaceTest, AClusterIsAddedWhileItsSecretLosesItsSlot) {
  between_all_steps(
      prepare,
      [](ObjectStore& store) {
        const auto repository = open(store, first_secret);
        if (repository) (void)repository->create_cluster("new");
      },
      [](ObjectStore& store) { EXPECT_TRUE(rotate(store, first_secret, second_secret)); },
      [](ObjectStore& store) {
        expect_whole(store);
        if (open(store, second_secret)) expect_one_key(store);
      });
}

TEST(KeyRotationRaceTest, AClusterThatIsShreddedMeanwhileStaysGone) {
  bool shredded = false;
  between_all_steps(
      [&](ObjectStore& store) {
        prepare(store);
        shredded = false;
      },
      [](ObjectStore& store) { EXPECT_TRUE(rotate(store, first_secret, first_secret)); },
      [&](ObjectStore& store) { shredded = store.remove("clusters/web/key").has_value(); },
      [&](ObjectStore& store) {
        const auto repository = open(store, first_secret);
        EXPECT_THAT(*repository->clusters(), SizeIs(shredded ? 1 : 2));
        EXPECT_EQ(message_of(repository->open_cluster("app")), "ok");
      });
}

}  // namespace
}  // namespace pgstrata
