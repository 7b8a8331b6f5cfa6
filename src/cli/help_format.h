// How --help looks: options in two columns, descriptions wrapped.
#pragma once

#include <CLI/CLI.hpp>

namespace pgstrata {

// The groups of flags that every command has; they come last.
inline constexpr const char* repository_group = "Repository";
inline constexpr const char* general_group = "General";

class HelpFormat : public CLI::Formatter {
 public:
  HelpFormat();
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;

 protected:
  std::string make_description(const CLI::App* app) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_subcommand(const CLI::App* command) const override;

 private:
  std::string make_option_groups(const CLI::App& app) const;
};

}  // namespace pgstrata
