// Shell completion, made from the tree of commands, so that it always fits.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace pgstrata {

// Scripts that define completion for `pgstrata`: options and commands, files after options that take one.
[[nodiscard]] std::string bash_completion(const CLI::App& program);
[[nodiscard]] std::string zsh_completion(const CLI::App& program);

}  // namespace pgstrata
