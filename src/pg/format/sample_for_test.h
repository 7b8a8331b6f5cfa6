// The samples in testdata/, made by make_samples.sh from real servers. For tests only.
#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "codec/compression.h"
#include "pg/format/relation_path.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {

inline constexpr int sample_majors[] = {13, 14, 15, 16, 17, 18};

inline std::string read_sample_text(const std::string& name) {
  std::ifstream file(PGSTRATA_SOURCE_DIR "/src/pg/format/testdata/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Bytes read_sample(const std::string& name) {
  auto content = decompress(as_byte_view(read_sample_text(name)), 64U << 20U);
  EXPECT_TRUE(content) << name;
  return content ? *std::move(content) : Bytes();
}

// Lines "name value".
class Facts {
 public:
  explicit Facts(int major) {
    std::istringstream lines(read_sample_text("facts_" + std::to_string(major) + ".txt"));
    for (std::string line; std::getline(lines, line);) {
      const auto blank = line.find(' ');
      facts_[line.substr(0, blank)] = line.substr(blank + 1);
    }
  }
  [[nodiscard]] const std::string& text(const std::string& name) const {
    EXPECT_TRUE(facts_.contains(name)) << name;
    static const std::string none;
    return facts_.contains(name) ? facts_.at(name) : none;
  }
  [[nodiscard]] std::uint64_t number(const std::string& name) const {
    return parse_decimal<std::uint64_t>(text(name)).value_or(0);
  }
  [[nodiscard]] Lsn lsn(const std::string& name) const { return parse_lsn(text(name)).value_or(Lsn{}); }
  // "tablespace/database/number"
  [[nodiscard]] RelationFile relation(const std::string& name) const {
    std::istringstream parts(text(name));
    RelationFile relation;
    char slash = 0;
    parts >> relation.tablespace.value >> slash >> relation.database.value >> slash >> relation.number.value;
    return relation;
  }
  [[nodiscard]] const std::map<std::string, std::string>& all() const { return facts_; }

 private:
  std::map<std::string, std::string> facts_;
};

}  // namespace pgstrata
