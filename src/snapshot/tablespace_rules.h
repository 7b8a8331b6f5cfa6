// What a snapshot may say of its tablespaces. Their locations and files are the server's word, and a restore,
// often by root, writes there: it is held to what PostgreSQL itself makes. Pure, thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "base/types.h"

namespace pgstrata {

// Why no tablespace is at `location`, "is not an absolute path"; nothing where one may be: an absolute path
// in its simplest form, without control characters.
[[nodiscard]] std::optional<std::string_view> fault_of_location(std::string_view location);

// Of "pg_tblspc/16400/PG_15_202209061/5/1" the number and what follows it. Nothing for a path elsewhere.
struct TablespacePath {
  Oid oid;
  std::string_view within;  // empty: the tablespace's folder itself
};
[[nodiscard]] std::optional<TablespacePath> parse_tablespace_path(std::string_view path);

// Whether it is the folder that a server of `server_version` (150018) keeps in a tablespace, or lies in it:
// PG_MAJOR_CATALOGVERSION. All else in the folder is not PostgreSQL's.
[[nodiscard]] bool in_version_folder(const TablespacePath& path, std::uint32_t server_version);

}  // namespace pgstrata
