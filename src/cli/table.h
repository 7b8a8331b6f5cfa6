// Aligned columns for people.
#pragma once

#include <string>
#include <vector>

namespace pgstrata {

enum class Align { left, right };

struct TableColumn {
  std::string title;
  Align align = Align::left;
};

// A table with a heading; each row has one cell for each column. Cells are counted in characters, not bytes.
class Table {
 public:
  explicit Table(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> row);
  [[nodiscard]] std::string text() const;

 private:
  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace pgstrata
