// Where PostgreSQL's programs are, by major.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pgstrata::testing {

// 15 is Debian's, in /usr/lib/postgresql; the others come from scripts/install-postgres-majors, which writes
// to the same folders that this reads: $PGSTRATA_TEST_POSTGRES_DIR, else /var/cache/pgstrata/postgres for
// root, else ${XDG_CACHE_HOME:-~/.cache}/pgstrata/postgres. Those hold initdb, pg_ctl and postgres and no
// client programs.
class PostgresBinaries {
 public:
  // Throws TestFailure, saying how to install it, when that major is not there.
  [[nodiscard]] static PostgresBinaries find(int major);

  [[nodiscard]] int major() const { return major_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  // Absolute path. Throws TestFailure when this major's package does not hold it.
  [[nodiscard]] std::string program(const std::string& name) const;
  [[nodiscard]] bool has(const std::string& name) const { return std::filesystem::exists(directory_ / name); }

 private:
  PostgresBinaries(int major, std::filesystem::path directory)
      : major_(major), directory_(std::move(directory)) {}

  int major_;
  std::filesystem::path directory_;
};

// All majors that pgstrata supports: ./test installs what is missing.
[[nodiscard]] const std::vector<int>& supported_majors();

// The oldest and the newest, or the newest; all in a thorough run. Everything else in tests/ runs on Debian's.
[[nodiscard]] std::vector<int> sample_majors();
[[nodiscard]] std::vector<int> newest_major();

// Those of all that this machine has. Under a sanitizer, which makes all take several times as long, only
// one of each kind: the last before the base backup protocol of 15, and the newest.
[[nodiscard]] std::vector<int> available_majors();

}  // namespace pgstrata::testing
