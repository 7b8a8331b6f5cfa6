#include <memory>

#include "cli/commands.h"
#include "cli/completion.h"

namespace pgstrata {
namespace {

constexpr const char* completion_details =
    R"(Examples:
  pgstrata completion bash > /etc/bash_completion.d/pgstrata
  pgstrata completion zsh > ~/.zfunc/_pgstrata)";

}  // namespace

void add_completion_command(CLI::App& program, Invocation& invocation) {
  const auto shell = std::make_shared<std::string>();  // shared with the action, which outlives this call
  CLI::App* command = add_plain_command(
      program, invocation,
      {.name = "completion", .summary = "print completion for bash or zsh", .details = completion_details},
      [shell, &program](const CommandContext& context) -> Result<int> {
        context.console.print(*shell == "bash" ? bash_completion(program) : zsh_completion(program));
        return 0;
      });
  command->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
}

}  // namespace pgstrata
