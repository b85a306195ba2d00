// `pelton completion SHELL` and `pelton reference`: text made from the declarations of all commands.
#include <fmt/core.h>

#include <cstdio>

#include "commands.h"

namespace pelton::app {

config::Command CompletionCommand(const config::Program& program) {
  return {
      .name = "completion",
      .summary = "Print the completion script of a shell.",
      .arguments = "bash|zsh|fish",
      .details = "Now:     source <(pelton completion bash)\n"
                 "Always:  pelton completion bash > ~/.local/share/bash-completion/completions/pelton",
      .arguments_max = 1,
      .hidden = false,
      .bind = {},
      .run =
          [&program](std::span<const std::string> arguments) {
            const std::string shell = arguments.empty() ? "bash" : arguments[0];
            const std::string script = config::CompletionScript(program, shell);
            if (script.empty()) {
              fmt::print(stderr, "pelton: no completion for '{}'; there is bash, zsh and fish\n",
                         shell);
              return 2;
            }
            fmt::print("{}", script);
            return 0;
          },
  };
}

config::Command ReferenceCommand(const config::Program& program) {
  return {
      .name = "reference",
      .summary = "Print the reference page of all options, or with `schema` the JSON schema of the "
                 "configuration file.",
      .arguments = "[schema]",
      .details = "",
      .arguments_max = 1,
      .hidden = true,
      .bind = {},
      .run =
          [&program](std::span<const std::string> arguments) {
            if (arguments.empty()) {
              fmt::print("{}", config::ReferencePage(program));
              return 0;
            }
            for (const config::Command& command : program.commands) {
              if (arguments[0] == "schema" && command.name == "serve") {
                fmt::print("{}", config::SchemaJson(command));
                return 0;
              }
            }
            fmt::print(stderr, "pelton: reference knows no '{}'\n", arguments[0]);
            return 2;
          },
  };
}

}  // namespace pelton::app
