#include "support/random_workload.h"

#include <fmt/format.h>

namespace pgstrata::testing {
namespace {

constexpr std::size_t most_tables = 12;
constexpr std::size_t most_databases = 2;

std::string make_table(const std::string& name, bool unlogged) {
  return fmt::format(
      "CREATE {} TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number int, label text, body "
      "text)",
      unlogged ? "UNLOGGED" : "", name);
}

std::string insert(const std::string& table, std::uint64_t rows, std::uint64_t salt) {
  return fmt::format(
      "INSERT INTO {} (number, label) SELECT i, md5((i + {})::text) FROM generate_series(1, {}) i", table,
      salt, rows);
}

}  // namespace

RandomWorkload::RandomWorkload(const std::string& conninfo, std::uint64_t seed)
    : connection_(conninfo), random_(seed) {
  for (int i = 0; i < 3; ++i) {
    tables_.push_back(fmt::format("work_{}", next_name_++));
    execute(make_table(tables_.back(), false));
    execute(insert(tables_.back(), 500, below(1'000'000)));
  }
}

void RandomWorkload::run(int steps) {
  for (int i = 0; i < steps; ++i) step();
}

void RandomWorkload::step() {
  const auto kind = below(100);
  if (kind < 25) return insert_rows();
  if (kind < 50) return change_rows();
  if (kind < 60) return store_large_values();
  if (kind < 70) return change_tables();
  if (kind < 77) return change_indexes();
  if (kind < 87) return nest_transactions();
  if (kind < 91) return touch_large_objects();
  if (kind < 98) return maintain();
  change_databases();
}

std::string RandomWorkload::any_table() {
  return tables_[below(tables_.size())];
}

void RandomWorkload::execute(const std::string& sql) {
  history_.push_back(sql);
  connection_.run(sql);
}

void RandomWorkload::insert_rows() {
  const std::uint64_t rows = below(10) == 0 ? 5'000 : 1 + below(200);
  execute(insert(any_table(), rows, below(1'000'000)));
}

void RandomWorkload::change_rows() {
  const std::string table = any_table();
  const auto divisor = 2 + below(40);
  if (below(3) == 0) {
    execute(fmt::format("DELETE FROM {} WHERE id % {} = 0", table, divisor));
  } else {
    execute(fmt::format("UPDATE {} SET number = number + 1, label = md5(label) WHERE id % {} = 1", table,
                        divisor));
  }
}

// Beyond 2 KB and hardly compressible, so it goes to the TOAST table.
void RandomWorkload::store_large_values() {
  execute(
      fmt::format("UPDATE {0} SET body = (SELECT string_agg(md5((i + {0}.id + {1})::text), '') FROM "
                  "generate_series(1, {2}) i) "
                  "WHERE id % 50 = {3}",
                  any_table(), below(1'000'000), 100 + below(3'000), below(50)));
}

void RandomWorkload::change_tables() {
  const auto kind = below(10);
  if (kind < 4 && tables_.size() < most_tables) {
    const std::string name = fmt::format("work_{}", next_name_++);
    execute(make_table(name, below(4) == 0));
    tables_.push_back(name);
    return execute(insert(name, 1 + below(300), below(1'000'000)));
  }
  const auto index = below(tables_.size());
  if (kind < 6 && tables_.size() > 3) {
    execute("DROP TABLE " + tables_[index]);
    tables_.erase(tables_.begin() + static_cast<std::ptrdiff_t>(index));
  } else if (kind == 6) {
    execute("TRUNCATE " + tables_[index]);
  } else if (kind == 7) {
    execute(fmt::format("ALTER TABLE {} ADD COLUMN extra_{} int DEFAULT {}", tables_[index], next_name_,
                        below(100)));
    ++next_name_;
  } else if (kind == 8) {  // rewrites the table
    execute(fmt::format("ALTER TABLE {0} ALTER COLUMN number TYPE bigint", tables_[index]));
  } else {
    execute("VACUUM FULL " + tables_[index]);
  }
}

void RandomWorkload::change_indexes() {
  static constexpr const char* methods[] = {"btree (label)",
                                            "hash (label)",
                                            "brin (id)",
                                            "gin (to_tsvector('simple', label))",
                                            "gist (to_tsvector('simple', label))",
                                            "spgist (label)"};
  const std::string table = any_table();
  if (below(4) == 0) return execute("REINDEX TABLE " + table);
  execute(fmt::format("CREATE INDEX ON {} USING {}", table, methods[below(std::size(methods))]));
}

void RandomWorkload::nest_transactions() {
  const std::string table = any_table();
  execute("BEGIN");
  execute(insert(table, 1 + below(100), below(1'000'000)));
  execute("SAVEPOINT inner_one");
  execute(fmt::format("UPDATE {} SET number = -1 WHERE id % 7 = 3", table));
  if (below(2) == 0) execute("ROLLBACK TO inner_one");
  execute(insert(table, 1 + below(20), below(1'000'000)));
  execute(below(3) == 0 ? "ROLLBACK" : "COMMIT");
}

void RandomWorkload::touch_large_objects() {
  if (!large_objects_.empty() && below(3) == 0) {
    execute(fmt::format("SELECT lo_unlink({})", large_objects_.back()));
    large_objects_.pop_back();
    return;
  }
  const std::uint64_t id = 700'000 + static_cast<std::uint64_t>(next_name_++);
  execute(fmt::format("SELECT lo_from_bytea({}, convert_to(repeat(md5('{}'), {}), 'UTF8'))", id,
                      below(1'000'000), 1 + below(2'000)));
  large_objects_.push_back(id);
}

void RandomWorkload::maintain() {
  switch (below(5)) {
    case 0:
      return execute("CHECKPOINT");
    case 1:
      return execute("SELECT pg_switch_wal()");
    case 2:
      return execute("VACUUM FREEZE " + any_table());
    case 3:
      return execute("ANALYZE");
    default:
      return execute("VACUUM " + any_table());
  }
}

void RandomWorkload::change_databases() {
  if (databases_.size() >= most_databases) {
    execute("DROP DATABASE " + databases_.front());
    databases_.erase(databases_.begin());
    return;
  }
  databases_.push_back(fmt::format("work_database_{}", next_name_++));
  execute("CREATE DATABASE " + databases_.back());
}

}  // namespace pgstrata::testing
