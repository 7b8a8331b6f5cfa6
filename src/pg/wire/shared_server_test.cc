// The shared server of wire_test_support.h.
#include <map>

#include "pg/wire/wire_test_support.h"
#include "support/wait_until.h"

namespace pgstrata {
namespace {

struct Shared {
  std::unique_ptr<testing::PostgresServer> server;
  std::vector<std::string> settings;
};

// What some test sets, back at its default.
const std::vector<std::string>& usual_settings() {
  static const std::vector<std::string> settings = {"max_wal_senders = 10", "max_replication_slots = 10",
                                                    "wal_level = replica"};
  return settings;
}

}  // namespace

testing::PostgresServer& shared_server(int major, const std::vector<std::string>& settings) {
  static std::map<int, Shared> servers;
  auto& [server, current_settings] = servers[major];
  if (server == nullptr) {
    server = std::make_unique<testing::PostgresServer>(
        testing::ServerOptions{.major = major, .settings = {"password_encryption = 'scram-sha-256'"}});
  }
  if (current_settings != settings) {
    if (server->running()) server->stop();
    server->configure(usual_settings());
    server->configure(settings);
    current_settings = settings;
  }
  if (!server->running()) server->start();
  testing::wait_until("walsenders of earlier tests to end",
                      [&] { return server->query_value("select count(*) from pg_stat_replication") == "0"; });
  server->query("select pg_drop_replication_slot(slot_name) from pg_replication_slots");
  return *server;
}

}  // namespace pgstrata
