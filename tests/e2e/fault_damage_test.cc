// Damage to each kind of object in the folder: what verify, status and restore make of it.
#include "e2e/fault_test.h"

namespace pgstrata::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// Snapshot A on timeline 1, then a promotion, snapshot B on timeline 2, and WAL all along. It is made once;
// each test damages a copy of the repository.
class FaultDamageTest : public FaultTest {
 protected:
  void SetUp() override {
    if (past_ == nullptr) {
      past_ = std::make_unique<Past>();
      ASSERT_NO_FATAL_FAILURE(make_past());
      for (const auto* name : {"repository", "key"}) copy(path(name), past_->folder.path());
    } else {
      for (const auto* name : {"repository", "key"})
        copy(past_->folder.path() / name, path(name).parent_path());
    }
    first_ = past_->first;
    second_ = past_->second;
    middle_ = past_->middle;
  }
  static void TearDownTestSuite() { past_.reset(); }

  static void write() {
    server().query("UPDATE t SET x = md5(x)");
    server().query("SELECT pg_switch_wal()");
    server().query("INSERT INTO t VALUES (0, 'x')");
  }
  // With a stream beside it, which has everything when it ends.
  void stream_while(const std::function<void()>& work) {
    const auto stream = start_pgstrata({"stream", "app"});
    wait_for_lease("stream");
    work();
    wait_flushed(server());
    const ProgramRun stopped = stream->terminate();
    ASSERT_EQ(stopped.exit_code, 0) << stopped.describe();
  }

  void damage(const std::string& name, const std::string& how) {
    const auto file = repository() / name;
    const std::string content = read_text(file);
    ASSERT_FALSE(content.empty()) << name;
    if (how == "missing") {
      std::filesystem::remove(file);
    } else if (how == "cut short") {
      std::filesystem::resize_file(file, content.size() / 2);
    } else {
      std::fstream open(file, std::ios::in | std::ios::out | std::ios::binary);
      open.seekp(static_cast<std::streamoff>(content.size() / 2));
      open.put(static_cast<char>(content[content.size() / 2] ^ 0x10));
    }
  }
  // Each damage in turn, the object put back after it.
  void for_each_damage(const std::string& name, const std::function<void()>& expect) {
    const auto kept = path("kept");
    const auto file = repository() / name;
    ASSERT_EQ(run_program({"/bin/cp", "-p", file.string(), kept.string()}).exit_code, 0);
    for (const auto* how : {"one byte changed", "cut short", "missing"}) {
      SCOPED_TRACE(fmt::format("{}: {}", name, how));
      damage(name, how);
      expect();
      ASSERT_EQ(run_program({"/bin/cp", "-p", kept.string(), file.string()}).exit_code, 0);
    }
  }

  // verify ends with code 5, names the object, and its JSON can be read.
  Json expect_verify_names(const std::string& name) const {
    const ProgramRun run = pgstrata({"verify", "--output", "json"});
    EXPECT_EQ(run.exit_code, 5) << run.describe();
    if (run.out.empty()) {
      ADD_FAILURE() << run.describe();
      return {};
    }
    const Json report = Json::parse(run.out);
    EXPECT_EQ(report.at("sound"), false);
    EXPECT_THAT(run.out, HasSubstr("\"" + name + "\"")) << run.describe();
    EXPECT_EQ(pgstrata({"verify"}).exit_code, 5);
    return report;
  }
  void expect_status_says(const std::string& what) const {
    const ProgramRun run = pgstrata({"status"});
    EXPECT_THAT(run.exit_code, AnyOf(Eq(0), Eq(5))) << run.describe();
    EXPECT_THAT(run.out + run.err, HasSubstr(what)) << run.describe();
  }
  [[nodiscard]] int restore_code(const std::vector<std::string>& target) const {
    std::vector<std::string> arguments{"restore", "app", "--to", path("restored").string()};
    arguments.insert(arguments.end(), target.begin(), target.end());
    const ProgramRun run = pgstrata(std::move(arguments));
    if (run.exit_code != 0 && run.exit_code != 6) expect_clear(run, run.exit_code, "");
    std::filesystem::remove_all(path("restored"));
    return run.exit_code;
  }
  [[nodiscard]] std::string largest(const std::string& part) const {
    const auto names = objects(part);
    return *std::ranges::max_element(
        names, {}, [&](const auto& name) { return std::filesystem::file_size(repository() / name); });
  }

  static PostgresServer& server() { return past_->server; }

  std::string first_;
  std::string second_;
  std::string middle_;  // after the first snapshot, before the second

 private:
  struct Past {
    PostgresServer server;
    std::string first;
    std::string second;
    std::string middle;
    TemporaryDirectory folder;  // its repository and key
  };

  void make_past() {
    protect(server());
    server().query("CREATE TABLE t AS SELECT n, md5(n::text) AS x FROM generate_series(1, 20000) n");
    stream_while([&] {
      past_->first = json_of({"backup", "app", "--base"}).at("snapshot").at("id");
      write();
      past_->middle = server().query_value("SELECT pg_current_wal_lsn()");
      write();
    });
    server().restart_promoted();
    stream_while([&] {
      write();
      past_->second = json_of({"backup", "app", "--base"}).at("snapshot").at("id");
      write();
    });
    ASSERT_EQ(json_of({"verify"}).at("sound"), true);
  }
  static void copy(const std::filesystem::path& what, const std::filesystem::path& into) {
    ASSERT_EQ(run_program({"/bin/cp", "-a", what.string(), into.string()}).exit_code, 0);
  }

  static inline std::unique_ptr<Past> past_;
};

// A stream leads past what a copy of the repository knows of, so these have a past of their own.
class FaultDamageAndStreamTest : public FaultDamageTest {
 protected:
  void SetUp() override {
    TearDownTestSuite();
    FaultDamageTest::SetUp();
  }
  void TearDown() override { TearDownTestSuite(); }

  static void flip_byte(const std::filesystem::path& file, std::streamoff at) {
    std::fstream open(file, std::ios::in | std::ios::out | std::ios::binary);
    open.seekg(at);
    const auto byte = static_cast<char>(open.get() ^ 0x10);
    open.seekp(at);
    open.put(byte);
  }
  [[nodiscard]] std::filesystem::path newest_sealed(const std::string& folder) const {
    auto names = objects(folder);
    std::erase_if(names, [](const std::string& name) { return name.ends_with(".tail"); });
    return repository() / *std::ranges::max_element(names);
  }
};

TEST_F(FaultDamageTest, OfTheRepositoryItself) {
  for_each_damage("repository", [&] {
    const ProgramRun run = pgstrata({"verify"});
    expect_clear(run, std::filesystem::exists(repository() / "repository") ? 5 : 3, "repository");
    EXPECT_EQ(pgstrata({"status"}).exit_code, run.exit_code);
    EXPECT_EQ(restore_code({}), run.exit_code);
  });
  const auto slots = objects("keys/");
  ASSERT_THAT(slots, SizeIs(1));
  for_each_damage(slots[0], [&] {
    expect_clear(pgstrata({"verify"}), 5, "key");
    expect_clear(pgstrata({"status"}), 5, "key");
    EXPECT_EQ(restore_code({}), 5);
  });
  ok({"verify"});
}

TEST_F(FaultDamageTest, OfAKeySlotThatIsNotTheOnlyOne) {
  const std::string slot =
      json_of({"key", "add", "--new-key-file", path("second-key").string()}).at("key_slot").at("id");
  const auto name = "keys/" + slot;
  damage(name, "cut short");
  expect_verify_names(name);
  expect_status_says("app");
  EXPECT_EQ(restore_code({}), 0);
  ok({"key", "remove", slot});
  ok({"verify"});
}

TEST_F(FaultDamageTest, OfAClustersRoots) {
  for (const auto* name : {"clusters/app/key", "clusters/app/cluster"}) {
    for_each_damage(name, [&] {
      expect_verify_names(name);
      const ProgramRun status = pgstrata({"status", "app"});
      EXPECT_THAT(status.exit_code, AnyOf(Eq(3), Eq(5)));
      EXPECT_THAT(restore_code({}), AnyOf(Eq(3), Eq(5)));
    });
  }
  for_each_damage("clusters/app/leases/stream", [&] {
    if (!std::filesystem::exists(repository() / "clusters/app/leases/stream")) return;  // it is free then
    expect_verify_names("clusters/app/leases/stream");
    expect_status_says("clusters/app/leases/stream");
    expect_clear(pgstrata({"stream", "app"}), 5, "clusters/app/leases/stream");
    EXPECT_EQ(restore_code({}), 0);
  });
}

TEST_F(FaultDamageTest, OfASnapshotsRecord) {
  const std::string name = "clusters/app/snapshots/" + second_;
  for (const auto* how : {"one byte changed", "cut short"}) {
    const std::string whole = read_text(repository() / name);
    damage(name, how);
    const Json report = expect_verify_names(name);
    EXPECT_EQ(report.at("clusters").at(0).at("damaged").at(0).at("snapshots").at(0), second_);
    EXPECT_THAT(report.at("clusters").at(0).at("lost_coverage"), IsEmpty()) << "the first leads there, too";
    expect_status_says("snapshot " + second_ + " cannot be restored");
    EXPECT_EQ(pgstrata({"snapshot", "list", "app"}).exit_code, 5);
    EXPECT_EQ(restore_code({}), 0) << "from the first snapshot";
    std::ofstream(repository() / name, std::ios::trunc | std::ios::binary) << whole;
  }
  ok({"verify"});
}

TEST_F(FaultDamageTest, OfPacks) {
  const auto packs = objects("clusters/app/packs/");
  ASSERT_GE(packs.size(), 4U);
  for (const auto& name : {packs.front(), packs.back(), largest("clusters/app/packs/")}) {
    for_each_damage(name, [&] {
      const Json cluster = expect_verify_names(name).at("clusters").at(0);
      ASSERT_THAT(cluster.at("damaged"), SizeIs(1));
      EXPECT_THAT(cluster.at("damaged").at(0).at("snapshots"), Not(IsEmpty()));
      expect_status_says("app");
      const std::vector<std::string> hit = cluster.at("damaged").at(0).at("snapshots");
      const auto is_hit = [&](const std::string& id) { return std::ranges::find(hit, id) != hit.end(); };
      // One that is gone is seen before anything is restored: an older snapshot may do.
      const bool gone = !std::filesystem::exists(repository() / name);
      if (gone) expect_status_says("is gone or empty");
      const int latest = !is_hit(second_) || (gone && !is_hit(first_)) ? 0 : 5;
      EXPECT_EQ(restore_code({"--timeline", "2"}), latest);
      const int middle = !is_hit(first_) ? 0 : gone && !is_hit(second_) ? 4 : 5;
      EXPECT_EQ(restore_code({"--lsn", middle_}), middle);
      EXPECT_EQ(is_hit(first_), !cluster.at("lost_coverage").empty());
    });
  }
  ok({"verify"});
}

// By one object that may not be read neither the rest is hidden, nor the other cluster.
TEST_F(FaultDamageTest, OfWhatMayNotBeRead) {
  ok({"add", "other", "--url", server().url()});
  const auto packs = objects("clusters/app/packs/");
  const auto sealed = objects("clusters/app/wal/00000001/");
  for (const std::string& name :
       {packs.front(), sealed.front(), objects(".partial").front(), "clusters/app/snapshots/" + second_,
        std::string("clusters/app/timelines/00000002"), std::string("clusters/app/leases/stream")}) {
    SCOPED_TRACE(name);
    std::filesystem::permissions(repository() / name, std::filesystem::perms::none);
    const ProgramRun run = pgstrata({"verify", "--output", "json"});
    EXPECT_EQ(run.exit_code, 5) << run.describe();
    const Json clusters = Json::parse(run.out).at("clusters");
    ASSERT_THAT(clusters, SizeIs(2)) << run.describe();
    const Json damaged = clusters.at(0).at("damaged");
    ASSERT_THAT(damaged, SizeIs(1)) << run.describe();
    EXPECT_EQ(damaged.at(0).at("name"), name);
    EXPECT_THAT(std::string(damaged.at(0).at("what")), HasSubstr("Permission denied"));
    EXPECT_THAT(std::string(damaged.at(0).at("cure")), HasSubstr("owner and permissions"));
    const Json now = status();  // exit code 0
    EXPECT_EQ(now.at("name"), "app");
    std::filesystem::permissions(repository() / name, std::filesystem::perms::owner_read);
  }
  for (const auto* name : {"clusters/app/cluster", "clusters/app/key", "clusters/app/packs"}) {
    SCOPED_TRACE(name);
    const auto before = std::filesystem::status(repository() / name).permissions();
    std::filesystem::permissions(repository() / name, std::filesystem::perms::none);
    const ProgramRun run = pgstrata({"verify", "--output", "json"});
    EXPECT_EQ(run.exit_code, 5) << run.describe();
    const Json report = Json::parse(run.out);
    EXPECT_THAT(report.at("clusters"), SizeIs(1)) << "the other one: " << run.describe();
    ASSERT_THAT(report.at("damaged"), SizeIs(1));
    EXPECT_THAT(std::string(report.at("damaged").at(0).at("what")), HasSubstr("Permission denied"));
    EXPECT_THAT(std::string(report.at("damaged").at(0).at("cure")), HasSubstr("owner and permissions"));
    EXPECT_THAT(ok({"status"}).out, AllOf(HasSubstr("cluster app: "), HasSubstr("other")));
    std::filesystem::permissions(repository() / name, before);
  }
  ok({"verify"});
}

// A new backup goes on using the damaged pack until it is moved away.
TEST_F(FaultDamageAndStreamTest, OfAPackIsCuredAsVerifySays) {
  // The largest that the second snapshot needs: which of the two writers had which extents is up to them.
  auto packs = objects("clusters/app/packs/");
  std::ranges::sort(packs, std::greater(),
                    [&](const auto& pack) { return std::filesystem::file_size(repository() / pack); });
  std::string name;
  Json damaged;
  for (const auto& pack : packs) {
    name = pack;
    const auto kept = path("kept");
    std::filesystem::copy_file(repository() / name, kept, std::filesystem::copy_options::overwrite_existing);
    damage(name, "one byte changed");
    damaged = expect_verify_names(name).at("clusters").at(0).at("damaged").at(0);
    const std::vector<std::string> snapshots = damaged.at("snapshots");
    if (std::ranges::find(snapshots, second_) != snapshots.end()) break;
    std::filesystem::copy_file(kept, repository() / name, std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_THAT(std::string(damaged.at("cure")),
              AllOf(HasSubstr("pgstrata repair app"), HasSubstr("pgstrata backup app")));
  EXPECT_THAT(pgstrata({"verify"}).out, HasSubstr("cure: run `pgstrata repair app`"));
  ASSERT_THAT(std::vector<std::string>(damaged.at("snapshots")), ::testing::Contains(second_));
  EXPECT_EQ(restore_code({}), 5);

  // Where the first snapshot needs what is sound of it, it stays.
  const ProgramRun run = pgstrata({"repair", "app", "--output", "json"});
  const Json repaired = Json::parse(run.out);
  EXPECT_EQ(run.exit_code, repaired.at("sound") ? 0 : 5) << run.describe();
  EXPECT_EQ(repaired.at("lost_snapshots").back().at("id"), second_);
  std::string third;
  stream_while([&] {
    third = json_of({"backup", "app", "--base"}).at("snapshot").at("id");
    write();
  });
  const Json after = Json::parse(pgstrata({"verify", "--output", "json"}).out);
  EXPECT_EQ(after.at("sound"), repaired.at("sound"));
  for (const Json& object : after.at("clusters").at(0).at("damaged")) {
    EXPECT_EQ(object.at("name"), name);
    EXPECT_THAT(std::vector<std::string>(object.at("snapshots")), Not(::testing::Contains(third)));
  }
  const std::string sum = "SELECT sum(hashtext(t::text)) FROM t";
  const std::string expected = server().query_value(sum);
  ok({"restore", "app", "--to", path("restored").string(), "--latest"});
  PostgresServer restored = PostgresServer::adopt(path("restored"));
  start_and_recover(restored);
  EXPECT_EQ(restored.query_value(sum), expected);
}

TEST_F(FaultDamageTest, IsDroppedByRepairAndNothingElseIs) {
  ok({"repair", "app"});
  const std::string record = "clusters/app/snapshots/" + second_;
  damage(record, "one byte changed");
  const auto before = objects("clusters/app/");
  const ProgramRun rehearsed = pgstrata({"repair", "app", "--dry-run"});
  EXPECT_EQ(rehearsed.exit_code, 5) << rehearsed.describe();
  EXPECT_THAT(rehearsed.out,
              AllOf(HasSubstr("would remove " + record), HasSubstr("LOST snapshot " + second_)));
  EXPECT_EQ(objects("clusters/app/"), before);

  const Json repaired = json_of({"repair", "app"});
  EXPECT_EQ(repaired.at("sound"), true);
  ASSERT_EQ(repaired.at("dropped").size(), 1U);
  EXPECT_EQ(repaired.at("dropped")[0].at("name"), record);
  EXPECT_EQ(repaired.at("coverage")[0].at("snapshots")[0], first_);
  EXPECT_EQ(json_of({"verify", "--read-all"}).at("sound"), true);
  EXPECT_EQ(restore_code({}), 0);
  EXPECT_EQ(json_of({"verify", "--structure"}).at("clusters")[0].at("chunks_read"), 0);

  for (const auto& pack : objects("clusters/app/packs/")) std::filesystem::remove(repository() / pack);
  EXPECT_EQ(json_of({"repair", "app"}).at("lost_snapshots")[0].at("id"), first_);
  EXPECT_THAT(pgstrata({"repair", "app"}).out, HasSubstr("can be restored: nothing"));
}

TEST_F(FaultDamageTest, OfSealedWal) {
  // The segment after the first snapshot's.
  std::vector<std::string> sealed;
  for (const auto& name : objects("clusters/app/wal/00000001/")) {
    if (name.find('.', name.rfind('/')) == std::string::npos) sealed.push_back(name);
  }
  ASSERT_GE(sealed.size(), 3U);
  const std::string name = sealed[sealed.size() - 2];
  for (const auto* how : {"one byte changed", "cut short"}) {
    const std::string whole = read_text(repository() / name);
    damage(name, how);
    const Json cluster = expect_verify_names(name).at("clusters").at(0);
    ASSERT_THAT(cluster.at("lost_coverage"), SizeIs(1));
    expect_status_says("app");
    EXPECT_EQ(restore_code({"--timeline", "2"}), 0) << "from the second snapshot";
    std::ofstream(repository() / name, std::ios::trunc | std::ios::binary) << whole;
  }
  damage(name, "missing");
  expect_status_says("nothing between");
  bool gap = false;
  const Json now = status();
  for (const Json& problem : now.at("problems")) gap = gap || problem.at("code") == "coverage_gap";
  EXPECT_TRUE(gap);
  EXPECT_EQ(restore_code({"--timeline", "2"}), 0);

  // As it is after WAL that the source had removed: the second snapshot has healed it.
  const Json healed = json_of({"verify"}).at("clusters").at(0).at("missing_wal");
  ASSERT_THAT(healed, SizeIs(1));
  EXPECT_EQ(healed.at(0).at("healed_by"), second_);
  EXPECT_THAT(ok({"verify"}).out, HasSubstr("snapshot " + second_ + " makes a new beginning behind it"));
  damage("clusters/app/snapshots/" + second_, "missing");
  const ProgramRun run = pgstrata({"verify", "--output", "json"});
  EXPECT_EQ(run.exit_code, 5) << run.describe();
  const Json cluster = Json::parse(run.out).at("clusters").at(0);
  EXPECT_EQ(cluster.at("sound"), false);
  ASSERT_THAT(cluster.at("missing_wal"), SizeIs(1));
  EXPECT_TRUE(cluster.at("missing_wal").at(0).at("healed_by").is_null());
  ASSERT_THAT(cluster.at("lost_coverage"), Not(IsEmpty()));
  EXPECT_EQ(cluster.at("lost_coverage").at(0).at("from_lsn"), cluster.at("missing_wal").at(0).at("from_lsn"));
  EXPECT_THAT(pgstrata({"verify"}).out,
              AllOf(HasSubstr("MISSING WAL of app on timeline"), HasSubstr("pgstrata backup app --base")));
}

TEST_F(FaultDamageTest, OfWalThatASnapshotNeeds) {
  const std::string id = second_;
  std::string start;
  const Json list = json_of({"snapshot", "list", "app"});
  for (const Json& snapshot : list.at("snapshots")) {
    if (snapshot.at("id") == id) start = snapshot.at("start_lsn");
  }
  const std::string segment = server().query_value("SELECT pg_walfile_name('" + start + "')");
  const std::string name = "clusters/app/wal/00000002/" + segment;
  ASSERT_TRUE(std::filesystem::exists(repository() / name)) << name;
  for_each_damage(name, [&] {
    const Json cluster = expect_verify_names(name).at("clusters").at(0);
    EXPECT_EQ(cluster.at("damaged").at(0).at("snapshots").at(0), id);
    EXPECT_THAT(cluster.at("lost_coverage"), Not(IsEmpty()));
    EXPECT_EQ(restore_code({"--lsn", middle_}), 0);
  });
}

TEST_F(FaultDamageAndStreamTest, OfTheWalTail) {
  // Two frames at least, the first durable before the second came: what breaks in the last is what a crash
  // leaves.
  stream_while([&] {
    server().query("INSERT INTO t VALUES (1, 'first')");
    wait_flushed(server());
    server().query("INSERT INTO t VALUES (2, 'second')");
  });
  const auto tails = objects(".tail");
  ASSERT_THAT(tails, SizeIs(1));
  constexpr std::streamoff in_first_frame = 28 + 20 + 5;  // docs/formats/journal.md
  flip_byte(repository() / tails.front(), in_first_frame);
  expect_verify_names(tails.front());
  std::vector<std::string> codes;
  const Json now = status();
  for (const Json& problem : now.at("problems")) codes.push_back(problem.at("code"));
  EXPECT_THAT(codes, ::testing::Contains("wal_damaged"));
  EXPECT_EQ(restore_code({"--latest"}), 6) << "restored up to there, which is said";
  EXPECT_EQ(restore_code({"--lsn", middle_}), 0) << "it lies before";
}

// A record reaches from it into the tail, so it is read.
TEST_F(FaultDamageAndStreamTest, OfTheMiddleOfTheSegmentBeforeTheTail) {
  stream_while(
      [&] { server().query("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 60000) i"); });
  const auto newest = newest_sealed("wal/00000002/");
  flip_byte(newest, static_cast<std::streamoff>(std::filesystem::file_size(newest) / 2));
  const std::string start = server().query_value(
      fmt::format("SELECT pg_lsn('0/0') + ('x' || substr('{0}', 17))::bit(32)::bigint * 16777216",
                  newest.filename().string()));
  const Json now = status();
  EXPECT_THAT(now.at("problems").dump(), HasSubstr("from " + start + " on"));
  EXPECT_EQ(restore_code({"--latest"}), 6);
}

// The stream meets it when it begins: what follows it would be of no use.
TEST_F(FaultDamageAndStreamTest, OfTheSegmentBeforeTheTail) {
  const auto damage_it = [&] {
    stream_while([&] {
      server().query("INSERT INTO t VALUES (3, 'in a sealed segment')");
      server().query("SELECT pg_switch_wal()");
      server().query("INSERT INTO t VALUES (4, 'in a tail')");
    });
    const auto newest = newest_sealed("wal/00000002/");
    flip_byte(newest, static_cast<std::streamoff>(std::filesystem::file_size(newest)) - 3);
    EXPECT_EQ(restore_code({"--latest"}), 6);
  };
  damage_it();
  stream_while([&] { server().query("INSERT INTO t VALUES (5, 'after it')"); });
  ok({"verify"});
  EXPECT_EQ(restore_code({"--latest"}), 0) << "the source had it still";

  damage_it();
  server().query("SELECT pg_switch_wal()");
  for (int round = 0; round < 2; ++round) server().query("CHECKPOINT");
  const auto before = snapshots();
  const auto stream = start_pgstrata({"stream", "app"});
  wait_until("a new beginning", [&] { return snapshots() > before; });
  EXPECT_EQ(stream->terminate().exit_code, 0);
  EXPECT_EQ(restore_code({"--latest"}), 0);
  for (int again = 0; again < 2; ++again)
    stream_while([&] { server().query("INSERT INTO t VALUES (6, 'behind it')"); });
  EXPECT_EQ(snapshots(), before + 1) << "one is enough";
}

// Timeline 1 ended within a segment, and timeline 2 has the same bytes again: nothing is lost with it.
TEST_F(FaultDamageTest, OfTheEndOfATimeline) {
  const auto ends = objects(".partial");
  ASSERT_THAT(ends, SizeIs(1));
  const Json coverage = status().at("coverage");
  for_each_damage(ends.front(), [&] {
    if (std::filesystem::exists(repository() / ends.front())) {
      const Json cluster = expect_verify_names(ends.front()).at("clusters").at(0);
      EXPECT_THAT(cluster.at("damaged"), SizeIs(1));
      EXPECT_THAT(cluster.at("damaged").at(0).at("snapshots"), IsEmpty());
      EXPECT_THAT(cluster.at("lost_coverage"), IsEmpty());
    } else {
      ok({"verify"});  // nobody needs it
    }
    EXPECT_EQ(status().at("coverage"), coverage);
    EXPECT_EQ(restore_code({"--latest"}), 0);
    EXPECT_EQ(restore_code({"--lsn", middle_}), 0);
  });
  ok({"verify"});
}

TEST_F(FaultDamageTest, OfATimelinesHistory) {
  const std::string name = "clusters/app/timelines/00000002";
  for_each_damage(name, [&] {
    expect_verify_names(name);
    expect_status_says("app");
    EXPECT_EQ(restore_code({"--timeline", "1"}), 0);
  });
  ok({"verify"});
}

}  // namespace
}  // namespace pgstrata::testing
