// What this room's tests share: unwrapping results and connecting.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pg/wire/replication_connection.h"
#include "support/postgres_server.h"
#include "support/test_failure.h"

namespace pgstrata {

// Ends the test with the error's words when there is no value.
template <class T>
T must(Result<T> result) {
  if (!result.has_value()) {
    throw testing::TestFailure(result.error().describe() + " | " + result.error().hint());
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

// Ends the test when there is one.
template <class T>
Error must_fail(Result<T> result) {
  if (result.has_value()) throw testing::TestFailure("no error where one is due");
  return std::move(result).error();
}

inline ConnectionUrl url_of(const std::string& text) {
  return must(ConnectionUrl::parse(text));
}

// One server per major serves most tests, since initdb is what takes time. It runs when this returns, has no
// slots and these settings, and no client but the test's. Tests that change its timeline or lose its WAL make
// their own.
testing::PostgresServer& shared_server(int major, const std::vector<std::string>& settings = {});

inline ReplicationConnection connect_to(const testing::PostgresServer& server,
                                        const Cancellation& cancellation) {
  return must(ReplicationConnection::connect(url_of(server.url()), {}, cancellation));
}

inline SteadyTime within(std::chrono::milliseconds span) {
  return std::chrono::steady_clock::now() + span;
}

}  // namespace pgstrata
