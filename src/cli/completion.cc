#include "cli/completion.h"

#include <fmt/format.h>

#include "cli/command_tree.h"

namespace pgstrata {
namespace {

// Inside single quotes of a shell.
std::string shell_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

bool takes_path(const CLI::Option& option) {
  return option.get_type_name() == "FILE" || option.get_type_name() == "DIR" || option.get_name() == "--repo";
}

// "--key-file|--config" for a shell's case; empty when no option of the command takes a path.
std::string path_options(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (!takes_path(*option)) continue;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return fmt::format("{}", fmt::join(names, "|"));
}

// A description in _arguments: brackets and colons are special.
std::string zsh_text(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':') result += '\\';
    result += c;
  }
  return result;
}

std::string zsh_option(const CLI::Option& option, const std::string& name) {
  std::string spec = fmt::format("{}[{}]", name, zsh_text(option.get_description()));
  if (takes_value(option)) {
    const char* values = option.get_type_name() == "DIR" ? "_files -/" : takes_path(option) ? "_files" : " ";
    spec += fmt::format(":{}:{}", zsh_text(option.get_type_name()), values);
  }
  return shell_quoted(spec);
}

std::string zsh_case(const NamedCommand& command) {
  std::string text = fmt::format("    ({})\n", shell_quoted(command.name));
  if (const auto children = visible_commands(*command.app); !children.empty()) {
    std::vector<std::string> entries;
    for (const CLI::App* child : children) {
      entries.push_back(shell_quoted(child->get_name() + ":" + zsh_text(child->get_description())));
    }
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option_names(*option)) {
        entries.push_back(shell_quoted(name + ":" + zsh_text(option->get_description())));
      }
    }
    text += fmt::format("      commands=({})\n      _describe command commands\n", joined(entries));
  } else {
    text += "      _arguments";
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option_names(*option))
        text += " \\\n        " + zsh_option(*option, name);
    }
    text += " \\\n        '*: : '\n";
  }
  return text + "      ;;\n";
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::string cases;
  for (const NamedCommand& command : all_commands(program)) {
    std::vector<std::string> words;
    for (const CLI::App* child : visible_commands(*command.app)) words.push_back(child->get_name());
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option_names(*option)) words.push_back(name);
    }
    cases += fmt::format("    {})\n      words={}\n      paths={}\n      ;;\n", shell_quoted(command.name),
                         shell_quoted(joined(words)), shell_quoted(path_options(*command.app)));
  }
  return fmt::format(R"(# Completion of pgstrata for bash; made by `pgstrata completion bash`.
_pgstrata() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local command='' words='' paths='' word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    case "${{command:+$command }}$word" in
      {}) command="${{command:+$command }}$word" ;;
    esac
  done
  case "$command" in
{}  esac
  if [[ -n $paths && "|$paths|" == *"|$previous|"* ]]; then
    # Only here: a folder that is named as a command is no command. A test may call this by itself.
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -o bashdefault -F _pgstrata pgstrata
)",
                     [&] {
                       std::vector<std::string> names;
                       for (const NamedCommand& command : all_commands(program)) {
                         if (!command.name.empty()) names.push_back(shell_quoted(command.name));
                       }
                       return fmt::format("{}", fmt::join(names, "|"));
                     }(),
                     cases);
}

std::string zsh_completion(const CLI::App& program) {
  std::string cases;
  std::vector<std::string> names;
  for (const NamedCommand& command : all_commands(program)) {
    cases += zsh_case(command);
    if (!command.name.empty()) names.push_back(shell_quoted(command.name));
  }
  return fmt::format(R"(#compdef pgstrata
# Completion of pgstrata for zsh; made by `pgstrata completion zsh`.
_pgstrata() {{
  local command='' word
  local -a commands
  local -i i used=0
  for ((i = 2; i < CURRENT; i++)); do
    word=${{words[i]}}
    case "${{command:+$command }}$word" in
      ({})
        command="${{command:+$command }}$word"
        used=$i
        ;;
    esac
  done
  if ((used > 1)); then
    shift $((used - 1)) words
    ((CURRENT -= used - 1))
  fi
  case "$command" in
{}  esac
}}
compdef _pgstrata pgstrata
)",
                     fmt::format("{}", fmt::join(names, "|")), cases);
}

}  // namespace pgstrata
