// Holding a restored server against the ledger.
#include <algorithm>

#include <fmt/format.h>

#include "support/commit_ledger.h"
#include "support/sql.h"

namespace pgstrata::testing {
namespace {

constexpr std::size_t reported_problems = 20;

std::string describe(const LedgerEntry& entry) {
  return fmt::format("client {} sequence {} (committed {}, WAL {} to {}, acknowledged {})", entry.client,
                     entry.sequence, to_rfc3339(entry.committed), entry.lsn_before, entry.lsn_after,
                     to_rfc3339(entry.acknowledged));
}

}  // namespace

CommitLedger::Problems CommitLedger::check_all(const std::string& conninfo) const {
  return check(conninfo, [](const LedgerEntry&) { return Expect::present; });
}

CommitLedger::Problems CommitLedger::check_acknowledged_by(const std::string& conninfo,
                                                           Timestamp moment) const {
  return check(conninfo, [moment](const LedgerEntry& entry) {
    return entry.acknowledged <= moment ? Expect::present : Expect::either;
  });
}

CommitLedger::Problems CommitLedger::check_time(const std::string& conninfo, Timestamp target) const {
  // Recovery stops before the first commit record that is later than the target. Records are not in the order
  // of their times: one with an earlier time may come after that, and is then not replayed. That first record
  // lies behind where its own transaction was open, and behind all that was written while the clock showed
  // the target.
  const std::vector<LedgerEntry> entries = acknowledged();
  Lsn later_open{UINT64_MAX};
  Lsn written_by_target{};
  for (const LedgerEntry& entry : entries) {
    if (!entry.committed.valid() || entry.committed > target)
      later_open = std::min(later_open, entry.lsn_before);
    if (entry.observed.valid() && entry.observed <= target) {
      written_by_target = std::max(written_by_target, entry.lsn_after);
    }
  }
  const Lsn stop_at_or_after = std::max(later_open, written_by_target);
  return check(conninfo, [=](const LedgerEntry& entry) {
    if (!entry.committed.valid()) return Expect::either;
    if (entry.committed > target) return Expect::absent;
    return entry.lsn_after <= stop_at_or_after ? Expect::present : Expect::either;
  });
}

CommitLedger::Problems CommitLedger::check_lsn(const std::string& conninfo, Lsn target) const {
  return check(conninfo, [target](const LedgerEntry& entry) {
    if (entry.lsn_before > target) return Expect::absent;
    return entry.lsn_after.valid() && entry.lsn_after <= target ? Expect::present : Expect::either;
  });
}

std::map<CommitLedger::Key, std::string> CommitLedger::read_rows(const std::string& conninfo) const {
  SqlConnection connection(conninfo);
  std::map<Key, std::string> rows;
  // The table, not its index: an index that lost an entry must not hide a row.
  connection.run("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off");
  for (const Row& row : connection.run("SELECT client, sequence, payload FROM commit_ledger")) {
    rows.emplace(Key{std::stoi(*row[0]), std::stoll(*row[1])}, *row[2]);
  }
  return rows;
}

CommitLedger::Problems CommitLedger::check(const std::string& conninfo,
                                           const std::function<Expect(const LedgerEntry&)>& expect) const {
  const std::map<Key, std::string> rows = read_rows(conninfo);
  const std::vector<LedgerEntry> entries = acknowledged();
  Problems problems;
  const auto report = [&problems](std::string problem) {
    if (problems.size() < reported_problems) problems.push_back(std::move(problem));
  };

  std::set<Key> known;
  std::map<int, std::int64_t> first_absent;
  std::set<int> with_holes;
  for (const LedgerEntry& entry : entries) {
    const Key key{entry.client, entry.sequence};
    known.insert(key);
    const bool present = rows.contains(key);
    const Expect expected = expect(entry);
    if (expected == Expect::present && !present) report("missing: " + describe(entry));
    if (expected == Expect::absent && present) report("from beyond the target: " + describe(entry));
    // A client's entries come in the order of its commits.
    if (!present) first_absent.try_emplace(entry.client, entry.sequence);
    if (present && first_absent.contains(entry.client) && with_holes.insert(entry.client).second) {
      report(
          fmt::format("there although sequence {} is not: {}", first_absent[entry.client], describe(entry)));
    }
  }

  std::set<Key> in_doubt;
  {
    const std::lock_guard lock(mutex_);
    in_doubt = in_doubt_;
  }
  for (const auto& [key, text] : rows) {
    const auto& [client, sequence] = key;
    if (sequence < 0) {
      report(fmt::format("rolled back, yet there: client {} sequence {}", client, -sequence));
    } else if (!known.contains(key) && !in_doubt.contains(key)) {
      report(fmt::format("never written: client {} sequence {}", client, sequence));
    } else if (text != payload(client, sequence)) {
      report(fmt::format("torn: client {} sequence {}", client, sequence));
    }
  }
  return problems;
}

}  // namespace pgstrata::testing
