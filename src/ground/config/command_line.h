// Commands of one program: reads flags, PELTON_* variables and a YAML file into option structs, in
// this order of weight: flag, variable, file, default. Help, completion and the reference page come
// from the same declarations.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/field.h"

namespace pelton::config {

struct Command {
  std::string_view name;        // "serve"
  std::string_view summary;     // one line
  std::string_view arguments;   // "[MODEL]"; empty when there are none
  std::string_view details;     // more lines for --help: examples
  size_t arguments_max = 0;
  bool hidden = false;
  std::function<void(Binder&)> bind;  // declares the options; may be empty
  // Runs with options filled; `arguments` are the words that are no flags. The exit code.
  std::function<int(std::span<const std::string> arguments)> run;
};

struct Program {
  std::string_view name;      // "pelton"
  std::string_view summary;
  std::string_view version;
  std::vector<Command> commands;
  // Variables with our prefix that are no option ("PELTON_CACHE"), so that they give no warning.
  std::vector<std::string_view> other_variables;
};

// argv[1…] and the environment ("NAME=value" strings). Prints what is wrong as one line on standard
// error with the next step, exit code 2; help and completion on standard output.
int RunProgram(Program& program, std::span<const std::string> words,
               std::span<const std::string> environment);

// The steps of RunProgram, for tests.
struct Sources {
  std::span<const std::string> words;        // after the command's name
  std::span<const std::string> environment;
  std::span<const std::string_view> other_variables;
};
struct ParsedWords {
  std::vector<std::string> arguments;
  bool help = false;
  std::vector<std::string> warnings;
};
// Fills the fields. When a field is called "config", the YAML file it names is read.
Result<ParsedWords> FillFields(std::vector<Field>& fields, const Sources& sources,
                               size_t arguments_max);
// One YAML text into fields (exposed for reload and fuzzing).
Status FillFromYaml(std::vector<Field>& fields, std::string_view text);

std::string HelpText(const Program& program, const Command* command);
std::string CompletionScript(const Program& program, std::string_view shell);  // "" for unknown shells
std::string ReferencePage(const Program& program);                             // Markdown
std::string SchemaJson(const Command& command);  // JSON schema (2020-12) of the YAML file

}  // namespace pelton::config
