#include "e2e/cli_test.h"

#include <fstream>

namespace pgstrata::testing {

void CliTest::require_passwords(const PostgresServer& server) {
  std::ofstream hba(server.data_directory() / "pg_hba.conf", std::ios::trunc);
  hba << "local all all trust\n"
         "local replication all trust\n"
         "host all all 127.0.0.1/32 scram-sha-256\n"
         "host replication all 127.0.0.1/32 scram-sha-256\n";
}

}  // namespace pgstrata::testing
