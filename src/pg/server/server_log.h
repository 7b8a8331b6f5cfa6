// The last words of a server's log. Private to this room.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace pgstrata {

// What explains why the server ended: the last lines with FATAL, PANIC or ERROR with what belongs to them
// (before a refused configuration: what is wrong with it), else the last lines; at most a few, joined by "; ".
[[nodiscard]] std::string last_words(std::string_view log);
// Of what was written from `offset` on; empty when it cannot be read.
[[nodiscard]] std::string last_words_of_file(const std::filesystem::path& log_file, std::uint64_t offset);

}  // namespace pgstrata
