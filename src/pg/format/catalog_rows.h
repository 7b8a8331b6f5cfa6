// Rows of the catalogs that say which databases, schemas and tables a data directory has, by its files alone.
//
// Sources: src/include/catalog/pg_database.h, pg_namespace.h, pg_class.h, pg_index.h of each major. All that is
// read is in front of the first column that may be null or of no fixed size.
//
//                     13, 14        15, 16        17          18
//   pg_database       oid 0, datname 4
//     dattablespace   224           92            92          92
//   pg_namespace      oid 0, nspname 4
//   pg_class          oid 0, relname 4, relnamespace 68, relfilenode 88, reltablespace 92, relpages 96,
//                     reltuples 100
//     reltoastrelid   108           108           108         112
//     relkind         115           115           115         119
//   pg_index          indexrelid 0, indrelid 4
//
// Pure, thread-safe. A row that does not make sense is passed over, and so are those known to be deleted.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "pg/format/heap_page.h"

namespace pgstrata {

inline constexpr Oid pg_database_oid{1262};
inline constexpr Oid pg_class_oid{1259};
inline constexpr Oid pg_namespace_oid{2615};
inline constexpr Oid pg_index_oid{2610};

struct DatabaseRow {
  Oid oid;
  std::string name;
  Oid tablespace;  // where its relations are that name none
  bool maybe_deleted = false;
};

struct NamespaceRow {
  Oid oid;
  std::string name;
  bool maybe_deleted = false;
};

struct ClassRow {
  Oid oid;
  std::string name;
  Oid schema;
  std::uint32_t file_number = 0;                // 0: it is mapped, or has no storage
  Oid tablespace;                               // 0: the database's
  std::optional<std::uint64_t> estimated_rows;  // nothing: it was never analyzed
  Oid toast;                                    // 0: none
  char kind = 0;                                // 'r', 'i', 't', 'm', …
  bool maybe_deleted = false;
};

struct IndexRow {
  Oid index;
  Oid table;
  bool maybe_deleted = false;
};

// Of one page of the catalog's file. `major` is the server's, 13 to 18.
void for_each_database(PageView page, int major, const std::function<void(DatabaseRow)>& use);
void for_each_namespace(PageView page, const std::function<void(NamespaceRow)>& use);
void for_each_class(PageView page, int major, const std::function<void(ClassRow)>& use);
void for_each_index(PageView page, const std::function<void(IndexRow)>& use);

}  // namespace pgstrata
