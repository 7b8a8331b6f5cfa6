#include "cli/command_tree.h"

namespace pgstrata {
namespace {

void collect(const CLI::App& app, const std::string& name, std::vector<NamedCommand>& into) {
  into.push_back({.name = name, .app = &app});
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    collect(*child, name.empty() ? child->get_name() : name + " " + child->get_name(), into);
  }
}

}  // namespace

std::vector<NamedCommand> all_commands(const CLI::App& program) {
  std::vector<NamedCommand> commands;
  collect(program, "", commands);
  return commands;
}

std::vector<const CLI::App*> visible_commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* child) { return !child->get_group().empty(); });
}

std::vector<std::string> option_names(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

}  // namespace pgstrata
