#include "cli/help_format.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/command_tree.h"

namespace pgstrata {
namespace {

constexpr std::size_t left_column = 28;
constexpr std::size_t total_width = 100;

// "  left     right, wrapped under itself\n".
std::string two_columns(const std::string& left, std::string_view right) {
  std::string text = "  " + left;
  if (text.size() + 2 > left_column) {
    text += "\n" + std::string(left_column, ' ');
  } else {
    text.append(left_column - text.size(), ' ');
  }
  constexpr std::size_t width = total_width - left_column;
  while (right.size() > width) {
    const std::size_t blank = right.rfind(' ', width);
    if (blank == std::string_view::npos || blank == 0) break;
    text += right.substr(0, blank);
    text += "\n" + std::string(left_column, ' ');
    right.remove_prefix(blank + 1);
  }
  text += right;
  return text + "\n";
}

}  // namespace

HelpFormat::HelpFormat() {
  column_width(left_column);
  label("Positionals", "Arguments");
}

std::string HelpFormat::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
  std::string text = make_description(app) + make_usage(app, name) + make_positionals(app);
  text += make_subcommands(app, mode);
  text += make_option_groups(*app);
  return text + "\n" + make_footer(app);
}

std::string HelpFormat::make_option_groups(const CLI::App& app) const {
  std::vector<std::string> groups = app.get_groups();
  const auto rank = [](const std::string& group) {
    return group == general_group ? 2 : group == repository_group ? 1 : 0;
  };
  std::ranges::stable_sort(groups, {}, rank);
  std::string text;
  for (const std::string& group : groups) {
    const auto options = app.get_options(
        [&](const CLI::Option* option) { return option->get_group() == group && option->nonpositional(); });
    if (!group.empty() && !options.empty()) text += make_group(group, false, options);
  }
  return text;
}

std::string HelpFormat::make_description(const CLI::App* app) const {
  return app->get_description() + "\n\n";
}

std::string HelpFormat::make_usage(const CLI::App* app, std::string name) const {
  if (!app->get_subcommands([](const CLI::App*) { return true; }).empty()) {
    return fmt::format("Usage: {} COMMAND [OPTIONS]\n", name);
  }
  std::string text = fmt::format("Usage: {}", name);
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) text += " " + make_option_usage(option);
  }
  return text + " [OPTIONS]\n";
}

std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
  return two_columns(make_option_name(option, is_positional) + make_option_opts(option),
                     make_option_desc(option));
}

std::string HelpFormat::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional() || !takes_value(*option)) return {};
  return " " + option->get_type_name();
}

std::string HelpFormat::make_subcommand(const CLI::App* command) const {
  return two_columns(command->get_display_name(true), command->get_description());
}

}  // namespace pgstrata
