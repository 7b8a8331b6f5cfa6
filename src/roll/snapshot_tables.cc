#include "roll/snapshot_tables.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>

#include "branch/snapshot_files.h"
#include "pg/format/catalog_rows.h"
#include "pg/format/role_names.h"
#include "snapshot/file_tree_reader.h"

namespace pgstrata {
namespace {

constexpr Oid default_tablespace{1663};
constexpr std::size_t read_bytes = extent_bytes;
// Of the map that PostgreSQL keeps in a folder: 512 or 524 bytes.
constexpr std::size_t map_bytes_max = page_size;

// By file number: all segments and forks of a relation, and whether it has rows at all (a main fork).
struct StoredRelation {
  std::uint64_t bytes = 0;
  bool has_main = false;
};
using StoredRelations = std::unordered_map<std::uint32_t, StoredRelation>;

// "16384", "16384.1", "16384_vm".
void count_file(StoredRelations& relations, std::string_view name, std::uint64_t size_bytes) {
  std::uint32_t number = 0;
  const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (wrong != std::errc() || (end != name.data() + name.size() && *end != '.' && *end != '_')) return;
  auto& relation = relations[number];
  relation.bytes += size_bytes;
  if (end == name.data() + name.size()) relation.has_main = true;
}

class TableFinder {
 public:
  TableFinder(const ClusterSpace& space, const SnapshotRecord& snapshot, const Cancellation& cancellation)
      : major_(static_cast<int>(snapshot.server_version / 10000)),
        cancellation_(cancellation),
        tree_(space, snapshot.tree),
        files_(open_snapshot_files(space, snapshot)) {}

  Result<std::vector<SnapshotTable>> run() {
    PGS_TRY(const auto map, read_map("global"));
    PGS_TRY(const auto file, mapped_file_number(map, pg_database_oid));
    std::map<std::uint32_t, DatabaseRow> databases;
    PGS_CHECK(for_each_page(fmt::format("global/{}", file), [&](PageView page) {
      for_each_database(page, major_, [&](DatabaseRow row) {
        auto& known = databases[row.oid.value];
        if (known.name.empty() || known.maybe_deleted || !row.maybe_deleted) known = std::move(row);
      });
    }));
    for (const auto& [oid, database] : databases) PGS_CHECK(look_into(database));
    return std::move(tables_);
  }

 private:
  // What is known of one database while it is looked at.
  struct Database {
    const DatabaseRow& row;
    std::string folder;
    std::unordered_map<std::uint32_t, ClassRow> classes;
    std::unordered_map<std::uint32_t, std::string> schemas;
    std::unordered_multimap<std::uint32_t, std::uint32_t> indexes;  // by their table
  };

  Result<void> look_into(const DatabaseRow& row) {
    PGS_CHECK(cancellation_.check());
    PGS_TRY(auto folder, folder_of(row, row.tablespace));
    // Dropped, or not made yet.
    if (!folder) return {};
    Database database{row, *std::move(folder), {}, {}, {}};
    PGS_CHECK(read_classes(database));
    PGS_CHECK(read_schemas(database));
    PGS_CHECK(read_indexes(database));
    for (const auto& [oid, relation] : database.classes) PGS_CHECK(add_table(database, relation));
    relations_.clear();
    return {};
  }

  Result<void> read_classes(Database& database) {
    PGS_TRY(const auto map, read_map(database.folder));
    PGS_TRY(const auto file, mapped_file_number(map, pg_class_oid));
    std::vector<ClassRow> rows;
    PGS_CHECK(for_each_page(fmt::format("{}/{}", database.folder, file), [&](PageView page) {
      for_each_class(page, major_, [&](ClassRow row) { rows.push_back(std::move(row)); });
    }));
    // Of several versions that may be it, the last one that has a file.
    for (auto& row : rows) {
      if (!std::string_view("rmti").contains(row.kind)) continue;
      PGS_TRY(const auto stored, stored_relation(database, row));
      if (!stored.has_main) continue;
      const auto [known, added] = database.classes.try_emplace(row.oid.value, row);
      if (!added && (known->second.maybe_deleted || !row.maybe_deleted)) known->second = std::move(row);
    }
    return {};
  }

  Result<void> read_schemas(Database& database) {
    return for_each_page_of(database, pg_namespace_oid, [&](PageView page) {
      for_each_namespace(page, [&](NamespaceRow row) {
        auto& name = database.schemas[row.oid.value];
        if (name.empty() || !row.maybe_deleted) name = std::move(row.name);
      });
    });
  }

  Result<void> read_indexes(Database& database) {
    return for_each_page_of(database, pg_index_oid, [&](PageView page) {
      for_each_index(page, [&](const IndexRow& row) {
        const auto [from, to] = database.indexes.equal_range(row.table.value);
        const bool known =
            std::any_of(from, to, [&](const auto& index) { return index.second == row.index.value; });
        if (!known) database.indexes.emplace(row.table.value, row.index.value);
      });
    });
  }

  Result<void> add_table(const Database& database, const ClassRow& row) {
    if (row.kind != 'r' && row.kind != 'm') return {};
    const auto schema = database.schemas.find(row.schema.value);
    if (schema == database.schemas.end()) return {};
    // Nobody else's schemas begin so.
    if (schema->second.starts_with("pg_") || schema->second == "information_schema") return {};
    SnapshotTable table{database.row.name, schema->second, row.name, row.estimated_rows, 0};
    PGS_TRY(table.bytes, bytes_with_indexes(database, row.oid));
    if (row.toast != Oid{0}) {
      PGS_TRY(const auto out_of_line, bytes_with_indexes(database, row.toast));
      table.bytes += out_of_line;
    }
    tables_.push_back(std::move(table));
    return {};
  }

  Result<std::uint64_t> bytes_with_indexes(const Database& database, Oid relation) {
    std::uint64_t bytes = 0;
    const auto add = [&](std::uint32_t oid) -> Result<void> {
      const auto row = database.classes.find(oid);
      if (row == database.classes.end()) return {};
      PGS_TRY(const auto stored, stored_relation(database, row->second));
      bytes += stored.bytes;
      return {};
    };
    PGS_CHECK(add(relation.value));
    const auto [from, to] = database.indexes.equal_range(relation.value);
    for (auto index = from; index != to; ++index) PGS_CHECK(add(index->second));
    return bytes;
  }

  Result<StoredRelation> stored_relation(const Database& database, const ClassRow& row) {
    if (row.file_number == 0) return StoredRelation{};
    const Oid tablespace = row.tablespace == Oid{0} ? database.row.tablespace : row.tablespace;
    PGS_TRY(const auto* relations, relations_in(database.row, tablespace));
    const auto found = relations->find(row.file_number);
    return found == relations->end() ? StoredRelation{} : found->second;
  }

  Result<const StoredRelations*> relations_in(const DatabaseRow& database, Oid tablespace) {
    const auto key = std::pair(database.oid.value, tablespace.value);
    const auto known = relations_.find(key);
    if (known != relations_.end()) return &known->second;
    StoredRelations relations;
    PGS_TRY(const auto folder, folder_of(database, tablespace));
    if (folder) {
      PGS_CHECK(tree_.for_each_in(*folder, [&](const FileEntry& entry) -> Result<void> {
        if (entry.kind == EntryKind::regular)
          count_file(relations, std::string_view(entry.path).substr(folder->size() + 1), entry.size_bytes);
        return {};
      }));
    }
    return &relations_.emplace(key, std::move(relations)).first->second;
  }

  // Nothing for one that is not there.
  Result<std::optional<std::string>> folder_of(const DatabaseRow& database, Oid tablespace) {
    std::string folder = fmt::format("base/{}", database.oid);
    if (tablespace != default_tablespace) {
      const auto top = fmt::format("pg_tblspc/{}", tablespace);
      PGS_TRY(const auto there, files_->find(top));
      if (!there) return std::nullopt;
      PGS_TRY(const auto versions, files_->list(top));
      const auto version = std::ranges::find_if(versions, [&](const BaseFiles::Named& named) {
        return named.name.starts_with(fmt::format("PG_{}_", major_));
      });
      if (version == versions.end()) return std::nullopt;
      folder = fmt::format("{}/{}/{}", top, version->name, database.oid);
    }
    PGS_TRY(const auto found, files_->find(folder));
    if (!found || !found->directory) return std::nullopt;
    return folder;
  }

  Result<Bytes> read_map(const std::string& folder) {
    const auto path = folder + "/pg_filenode.map";
    PGS_TRY(const auto entry, files_->find(path));
    if (!entry || entry->directory) return fail(ErrorCode::damaged, "the snapshot has no {}", path);
    Bytes map(std::min<std::size_t>(entry->size_bytes, map_bytes_max));
    PGS_TRY(const auto file, files_->open(path));
    PGS_CHECK(file->read(0, map));
    return map;
  }

  template <class Use>
  Result<void> for_each_page_of(const Database& database, Oid catalog, const Use& use) {
    const auto row = database.classes.find(catalog.value);
    if (row == database.classes.end())
      return fail(ErrorCode::damaged, "pg_class of database \"{}\" does not say where catalog {} is",
                  database.row.name, catalog);
    return for_each_page(fmt::format("{}/{}", database.folder, row->second.file_number), use);
  }

  // Of a relation's main fork.
  template <class Use>
  Result<void> for_each_page(const std::string& path, const Use& use) {
    for (int segment = 0;; ++segment) {
      const auto name = segment == 0 ? path : fmt::format("{}.{}", path, segment);
      PGS_TRY(const auto entry, files_->find(name));
      if (!entry && segment > 0) return {};
      if (!entry || entry->directory) return fail(ErrorCode::damaged, "the snapshot has no {}", name);
      PGS_CHECK(for_each_page_in(name, entry->size_bytes, use));
    }
  }
  template <class Use>
  Result<void> for_each_page_in(const std::string& name, std::uint64_t size_bytes, const Use& use) {
    PGS_TRY(const auto file, files_->open(name));
    Bytes part(read_bytes);
    for (std::uint64_t at = 0; at + page_size <= size_bytes; at += part.size()) {
      PGS_CHECK(cancellation_.check());
      part.resize(std::min<std::uint64_t>(read_bytes, size_bytes - at));
      PGS_CHECK(file->read(at, part));
      for (std::size_t page = 0; page + page_size <= part.size(); page += page_size)
        use(PageView(ByteView(part).subspan(page).first<page_size>()));
    }
    return {};
  }

  const int major_;
  const Cancellation& cancellation_;
  FileTreeReader tree_;
  std::unique_ptr<BaseFiles> files_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, StoredRelations> relations_;  // database, tablespace
  std::vector<SnapshotTable> tables_;
};

}  // namespace

Result<std::vector<SnapshotTable>> find_tables(const ClusterSpace& space, const SnapshotRecord& snapshot,
                                               const Cancellation& cancellation) {
  return TableFinder(space, snapshot, cancellation).run();
}

}  // namespace pgstrata
