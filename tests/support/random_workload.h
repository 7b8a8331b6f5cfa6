// A seeded mix of what applications and administrators do to a database, to restore and compare afterwards.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/sql.h"

namespace pgstrata::testing {

// Steps are drawn from the seed alone, so one seed always gives the same statements: inserts small and large,
// updates, deletes, TOASTed values, truncate, indexes, tables made, altered and dropped, rewrites,
// savepoints, rollbacks, unlogged tables, large objects, vacuum, checkpoints, WAL switches, databases made
// and dropped. Not thread-safe.
class RandomWorkload {
 public:
  // Connects as a superuser and makes the tables it starts from. Print `seed` where a test may fail.
  RandomWorkload(const std::string& conninfo, std::uint64_t seed);

  void run(int steps);
  // One line for each step so far.
  [[nodiscard]] const std::vector<std::string>& history() const { return history_; }

 private:
  void step();
  [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  [[nodiscard]] std::string any_table();
  void execute(const std::string& sql);
  void insert_rows();
  void change_rows();
  void store_large_values();
  void change_tables();
  void change_indexes();
  void nest_transactions();
  void touch_large_objects();
  void maintain();
  void change_databases();

  SqlConnection connection_;
  std::mt19937_64 random_;
  std::vector<std::string> tables_;
  std::vector<std::string> databases_;
  std::vector<std::uint64_t> large_objects_;
  int next_name_ = 1;
  std::vector<std::string> history_;
};

}  // namespace pgstrata::testing
