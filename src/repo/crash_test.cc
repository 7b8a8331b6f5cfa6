// What is left when everything stops, or a call fails, at each step of each kind of work.
#include "base/log.h"
#include "repo/at_each_step.h"
#include "repo/lease.h"
#include "repo/pack.h"
#include "repo/record.h"
#include "repo/sealed_journal.h"
#include "repo/test_store.h"

namespace pgstrata {
namespace {

ClusterSpace space_over(ObjectStore& store) {
  return {store, "app", fixed_key(1)};
}

TEST(CrashTest, ARepositoryIsThereWholeOrCanBeMade) {
  const HeldClock clock;
  const KeySource source = KeyFile{.secret = Bytes(32, std::byte{1})};
  at_each_step(
      [&](ObjectStore& store) {
        const auto made = Repository::create(borrow(store), source, clock);
        return made.has_value();
      },
      [&](ObjectStore& store, bool done) {
        if (done || store.stat("repository").has_value()) {
          EXPECT_EQ(message_of(Repository::open(borrow(store), source)), "ok");
        } else {
          EXPECT_EQ(message_of(Repository::create(borrow(store), source, clock)), "ok");
        }
      });
}

TEST(CrashTest, ARecordIsWholeOrNotThere) {
  at_each_step(
      [](ObjectStore& store) {
        return put_record(space_over(store), "one", RecordKind::snapshot, as_byte_view("payload"))
            .has_value();
      },
      [](ObjectStore& store, bool done) {
        const auto record = get_record(space_over(store), "one", RecordKind::snapshot);
        EXPECT_TRUE(record.has_value() || !done);
        if (record.has_value()) {
          EXPECT_EQ(as_text(*record), "payload");
        } else {
          EXPECT_EQ(code_of(record), "not_found");
        }
      });
}

TEST(CrashTest, AReplacedRecordIsTheOldOrTheNewOne) {
  at_each_step(
      [](ObjectStore& store) {
        const auto space = space_over(store);
        if (!put_record(space, "one", RecordKind::cluster, as_byte_view("old"))) return false;
        const auto there = get_versioned_record(space, "one", RecordKind::cluster);
        return there && replace_record(space, "one", RecordKind::cluster, there->version, as_byte_view("new"))
                            .has_value();
      },
      [](ObjectStore& store, bool done) {
        const auto record = get_record(space_over(store), "one", RecordKind::cluster);
        if (record.has_value()) {
          EXPECT_TRUE(as_text(*record) == "new" || (!done && as_text(*record) == "old"));
        } else {
          EXPECT_FALSE(done);
          EXPECT_EQ(code_of(record), "not_found");
        }
      });
}

TEST(CrashTest, APackIsWholeOrNotThere) {
  const HeldClock clock;
  const PackId id = new_pack_id(clock);
  const Bytes content = sample_content(700'000, 1);
  const auto work = [&](ObjectStore& store) {
    auto pack = PackWriter::create(space_over(store), PackKind::data, id, pack_name(id), 1);
    if (!pack.has_value()) return false;
    for (int i = 0; i < 3; ++i) {
      if (!pack->append(content, {}).has_value()) break;
    }
    return pack->commit().has_value();
  };
  const auto check = [&](ObjectStore& store, bool done) {
    auto pack = PackReader::open(space_over(store), pack_name(id), PackKind::data);
    EXPECT_TRUE(pack.has_value() || !done);
    if (!pack.has_value()) {
      EXPECT_EQ(code_of(pack), "not_found");
      return;
    }
    EXPECT_EQ(pack->directory().size(), 3U);
    const auto read = pack->read_all([&](const PackDirectoryEntry&, ByteView found) -> Result<void> {
      EXPECT_TRUE(std::ranges::equal(found, content));
      return {};
    });
    EXPECT_EQ(message_of(read), "ok");
  };
  at_each_step(work, check);
}

TEST(CrashTest, AJournalKeepsWhatWasDurableAndInventsNothing) {
  std::vector<std::string> frames;
  for (std::size_t i = 0; i < 24; ++i) frames.push_back(std::string(1 + 97 * i, static_cast<char>('a' + i)));
  std::size_t durable = 0;
  at_each_step(
      [&](ObjectStore& store) {
        durable = 0;
        auto journal = JournalWriter::create(space_over(store), "tail");
        if (!journal.has_value()) return false;
        for (std::size_t i = 0; i < frames.size(); ++i) {
          if (!journal->append(as_byte_view(frames[i])).has_value()) return false;
          if (i % 4 != 3) continue;
          if (!journal->sync().has_value()) return false;
          durable = i + 1;
        }
        return true;
      },
      [&](ObjectStore& store, bool) {
        std::size_t found = 0;
        const auto read = read_journal(space_over(store), "tail", [&](ByteView frame) -> Result<void> {
          EXPECT_LT(found, frames.size());
          EXPECT_EQ(as_text(frame), frames[found]);
          ++found;
          return {};
        });
        if (durable == 0 && code_of(read) == "not_found") return;
        EXPECT_EQ(message_of(read), "ok");
        EXPECT_GE(found, durable);
      });
}

// Takes what is said about leases that could not be given back.
class SilentSink : public LogSink {
 public:
  SilentSink() { set_log_sink(this); }
  ~SilentSink() override { set_log_sink(nullptr); }
  SilentSink(const SilentSink&) = delete;
  SilentSink& operator=(const SilentSink&) = delete;
  void write(Severity, std::string_view) override {}
};

TEST(CrashTest, ALeaseIsFreeAgainAfterItsHolderFailed) {
  const SilentSink silence;
  const HeldClock clock;
  constexpr LeaseOptions patient{.time_to_live = std::chrono::hours(1)};
  at_each_step(
      [&](ObjectStore& store) {
        return Lease::acquire(space_over(store), "stream", "stream", clock, patient).has_value();
      },
      [&](ObjectStore& store, bool) {
        const auto lease = Lease::acquire(space_over(store), "stream", "stream", clock, patient);
        EXPECT_EQ(message_of(lease), "ok");
      });
}

}  // namespace
}  // namespace pgstrata
