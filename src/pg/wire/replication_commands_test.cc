// Commands of the replication protocol, on every major that this machine has.
#include "pg/wire/sql_connection.h"
#include "pg/wire/wire_test_support.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

class ReplicationCommands : public ::testing::TestWithParam<int> {};

TEST_P(ReplicationCommands, AnswersOfEachCommand) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  EXPECT_EQ(connection.server_major(), GetParam());

  const auto identity = must(connection.identify_system());
  EXPECT_EQ(std::to_string(identity.system.value),
            server.query_value("select system_identifier from pg_control_system()"));
  EXPECT_EQ(identity.timeline, TimelineId{1});
  EXPECT_TRUE(identity.flush_position.valid());
  EXPECT_EQ(must(connection.show("wal_segment_size")), "16MB");
  EXPECT_EQ(must_fail(connection.show("no_such_setting")).code(), ErrorCode::not_found);
  EXPECT_EQ(must_fail(connection.show("a; drop")).code(), ErrorCode::usage);
  EXPECT_EQ(must_fail(connection.timeline_history(TimelineId{1})).code(), ErrorCode::not_found);
  EXPECT_EQ(must_fail(connection.timeline_history(TimelineId{7})).code(), ErrorCode::not_found);
}

TEST_P(ReplicationCommands, LifeOfASlot) {
  auto& server = shared_server(GetParam());
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);

  must(connection.create_physical_slot("pgstrata_app"));
  EXPECT_EQ(must_fail(connection.create_physical_slot("pgstrata_app")).code(), ErrorCode::already_exists);
  EXPECT_EQ(must_fail(connection.create_physical_slot("Not \"a name")).code(), ErrorCode::usage);
  const auto restart_lsn =
      must(parse_lsn(server.query_value("select restart_lsn from pg_replication_slots where not temporary")));
  if (GetParam() >= 15) {
    const auto state = must(connection.read_slot("pgstrata_app"));
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->restart_lsn, restart_lsn);
    EXPECT_EQ(state->timeline, TimelineId{1});
    EXPECT_FALSE(must(connection.read_slot("another")).has_value());
  } else {
    EXPECT_EQ(must_fail(connection.read_slot("pgstrata_app")).code(), ErrorCode::unsupported);
  }
  must(connection.drop_slot("pgstrata_app"));
  EXPECT_EQ(must_fail(connection.drop_slot("pgstrata_app")).code(), ErrorCode::not_found);
}

TEST_P(ReplicationCommands, NoMoreSlotsOrNoneAtAll) {
  auto& server = shared_server(GetParam(), {"max_replication_slots = 1"});
  const Cancellation cancellation;
  auto connection = connect_to(server, cancellation);
  must(connection.create_physical_slot("one"));
  const auto error = must_fail(connection.create_physical_slot("two"));
  EXPECT_EQ(error.code(), ErrorCode::unavailable) << error.describe();
  EXPECT_NE(error.hint().find("max_replication_slots"), std::string::npos) << error.hint();
}

INSTANTIATE_TEST_SUITE_P(Majors, ReplicationCommands, ::testing::ValuesIn(testing::available_majors()));

TEST(SqlConnection, QueriesWithParametersAndClassifiesErrors) {
  auto& server = shared_server(15);
  const Cancellation cancellation;
  auto connection = must(SqlConnection::connect(url_of(server.url()), {}, cancellation));
  const auto result = must(connection.query("select $1::int + 1 as a, $2::text as b", {"41", std::nullopt}));
  EXPECT_EQ(result.columns, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(result.rows.size(), 1U);
  EXPECT_EQ(result.rows[0], (SqlRow{"42", std::nullopt}));
  EXPECT_EQ(must_fail(connection.query("select * from missing")).code(), ErrorCode::not_found);
  EXPECT_EQ(must(connection.query_value("select 'still usable'")), "still usable");
  EXPECT_EQ(must_fail(connection.query_value("select null")).code(), ErrorCode::not_found);
}

TEST(SqlConnection, CancellationEndsALongQuery) {
  auto& server = shared_server(15);
  Cancellation cancellation;
  auto connection = must(SqlConnection::connect(url_of(server.url()), {}, cancellation));
  std::thread stopper([&] {
    testing::wait_until("the query to run", [&] {
      return server.query_value(
                 "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state "
                 "= 'active'") != "0";
    });
    cancellation.request();
  });
  const auto error = must_fail(connection.query("select pg_sleep(600)"));
  stopper.join();
  EXPECT_EQ(error.code(), ErrorCode::cancelled);
}

}  // namespace
}  // namespace pgstrata
