// What is printed from the declarations: help, completion, the reference page, the schema.
#include <fmt/format.h>

#include <algorithm>

#include "config/command_line.h"

namespace pelton::config {
namespace {

std::string ValueName(const Field& f) {
  if (f.is_switch) return "";
  if (!f.spec.value_name.empty()) return std::string(f.spec.value_name);
  if (!f.spec.choices.empty()) return fmt::format("{}", fmt::join(f.spec.choices, "|"));
  if (f.type.ends_with("integer")) return "N";
  if (f.type.ends_with("number")) return "X";
  return "TEXT";
}

std::string Range(const Field& f) {
  const bool low = std::isfinite(f.spec.min);
  const bool high = std::isfinite(f.spec.max);
  const std::string least = internal::NumberText(f.spec.min);
  const std::string most = internal::NumberText(f.spec.max);
  if (low && high) return fmt::format("{} to {}", least, most);
  if (low) return "at least " + least;
  if (high) return "at most " + most;
  return "";
}

// Words of `text` in lines of at most `width`, later lines behind `indent` spaces.
std::string Wrapped(std::string_view text, size_t indent, size_t width) {
  std::string out;
  size_t column = indent;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (column > indent && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  return out;
}

std::vector<Field> FieldsOf(const Command& command) {
  Binder binder;
  if (command.bind) command.bind(binder);
  return std::move(binder.fields());
}

std::string DefaultNote(const Field& f) {
  if (f.repeatable || f.spec.secret || f.default_text.empty()) return "";
  if (f.is_switch) return fmt::format(" [default: {}]", f.default_text == "true" ? "on" : "off");
  return fmt::format(" [default: {}]", f.default_text);
}

std::string CommandHelp(const Program& program, const Command& command) {
  std::string out = fmt::format("{}\n\nUsage: {} {}{}{} [options]\n", command.summary, program.name,
                                command.name, command.arguments.empty() ? "" : " ",
                                command.arguments);
  if (!command.details.empty()) out += fmt::format("\n{}\n", command.details);
  std::string group = "?";
  for (const Field& f : FieldsOf(command)) {
    if (!f.set_word) continue;
    if (f.group != group) {
      group = f.group;
      out += fmt::format("\n{}:\n", group.empty() ? "Options" : group);
    }
    std::string flag = fmt::format("  --{}", f.name);
    if (const std::string value = ValueName(f); !value.empty()) flag += " " + value;
    constexpr size_t kColumn = 34;
    out += flag.size() + 2 > kColumn ? flag + "\n" + std::string(kColumn, ' ')
                                     : fmt::format("{:<{}}", flag, kColumn);
    out += Wrapped(std::string(f.spec.help) + DefaultNote(f), kColumn, 100) + "\n";
  }
  out += "\nEvery option is also a variable (--max-running: PELTON_MAX_RUNNING)";
  out += command.name == "serve" ? " and a key of the --config file (max_running).\n" : ".\n";
  return out;
}

std::string SchemaOf(const std::vector<Field>& fields);

std::string SchemaOf(const Field& f) {
  std::string type = f.type;
  const bool list = type.starts_with("list of ");
  if (list) type = type.substr(8);
  std::string inner;
  if (!f.members.empty()) {
    inner = SchemaOf(f.members);
  } else {
    inner = fmt::format("\"type\": \"{}\"", type == "object" ? "string" : type);
    if (std::isfinite(f.spec.min)) inner += ", \"minimum\": " + internal::NumberText(f.spec.min);
    if (std::isfinite(f.spec.max)) inner += ", \"maximum\": " + internal::NumberText(f.spec.max);
    if (!f.spec.choices.empty()) {
      inner += fmt::format(", \"enum\": [\"{}\"]", fmt::join(f.spec.choices, "\", \""));
    }
  }
  if (list) inner = fmt::format("\"type\": \"array\", \"items\": {{{}}}", inner);
  std::string help(f.spec.help);
  for (size_t at = 0; (at = help.find_first_of("\\\"", at)) != std::string::npos; at += 2) {
    help.insert(at, 1, '\\');
  }
  return fmt::format("\"{}\": {{{}, \"description\": \"{}\"}}", YamlKey(f.name), inner, help);
}

std::string SchemaOf(const std::vector<Field>& fields) {
  std::vector<std::string> members;
  for (const Field& f : fields) members.push_back(SchemaOf(f));
  return fmt::format("\"type\": \"object\", \"additionalProperties\": false, \"properties\": {{{}}}",
                     fmt::join(members, ",\n  "));
}

void ReferenceRows(const std::vector<Field>& fields, std::string_view prefix, std::string* out) {
  for (const Field& f : fields) {
    const bool flag = static_cast<bool>(f.set_word) && prefix.empty();
    const std::string range = f.spec.choices.empty()
                                  ? Range(f)
                                  : fmt::format("{}", fmt::join(f.spec.choices, ", "));
    *out += fmt::format("| `{}{}` | {} | {} | {} | {} |\n", prefix, YamlKey(f.name),
                        flag ? "`--" + f.name + "`, `" + VariableName(f.name) + "`" : "file only",
                        f.type, f.default_text.empty() ? "–" : "`" + f.default_text + "`",
                        std::string(f.spec.help) + (range.empty() ? "" : " (" + range + ")"));
    ReferenceRows(f.members, fmt::format("{}{}[].", prefix, YamlKey(f.name)), out);
  }
}

}  // namespace

std::string HelpText(const Program& program, const Command* command) {
  if (command != nullptr) return CommandHelp(program, *command);
  std::string out = fmt::format("{} {}: {}\n\nUsage: {} COMMAND [options]\n\nCommands:\n",
                                program.name, program.version, program.summary, program.name);
  for (const Command& c : program.commands) {
    if (!c.hidden) out += fmt::format("  {:<14}{}\n", c.name, c.summary);
  }
  return out + fmt::format("\nMore about one: {} COMMAND --help\n", program.name);
}

std::string CompletionScript(const Program& program, std::string_view shell) {
  std::vector<std::string> names;
  for (const Command& c : program.commands) {
    if (!c.hidden) names.emplace_back(c.name);
  }
  std::string cases;
  for (const Command& c : program.commands) {
    std::vector<std::string> flags = {"--help"};
    for (const Field& f : FieldsOf(c)) {
      if (f.set_word) flags.push_back("--" + f.name);
    }
    if (shell == "fish") {
      for (const Field& f : FieldsOf(c)) {
        if (!f.set_word) continue;
        cases += fmt::format("complete -c {0} -n '__fish_seen_subcommand_from {1}' -l {2}{3}\n",
                             program.name, c.name, f.name, f.is_switch ? "" : " -r");
      }
    } else {
      cases += fmt::format("    {}) flags=\"{}\" ;;\n", c.name, fmt::join(flags, " "));
    }
  }
  if (shell == "fish") {
    return fmt::format("complete -c {0} -n __fish_use_subcommand -f -a '{1}'\n{2}", program.name,
                       fmt::join(names, " "), cases);
  }
  if (shell != "bash" && shell != "zsh") return "";
  const std::string_view start = shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "";
  return fmt::format(R"({0}_{1}_complete() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" flags=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{2}" -- "$word")); return
  fi
  case "${{COMP_WORDS[1]}}" in
{3}  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -o filenames -F _{1}_complete {1}
)",
                     start, program.name, fmt::join(names, " "), cases);
}

std::string ReferencePage(const Program& program) {
  std::string out =
      "# Options\n\nGenerated by `pelton reference`; a test keeps it true. A flag weighs more than a "
      "variable, a variable more than the file, the file more than the default.\n";
  for (const Command& c : program.commands) {
    if (c.hidden || !c.bind) continue;
    out += fmt::format("\n## pelton {}\n\n{}\n\n| key | flag, variable | type | default | meaning "
                       "|\n|---|---|---|---|---|\n",
                       c.name, c.summary);
    ReferenceRows(FieldsOf(c), "", &out);
  }
  return out;
}

std::string SchemaJson(const Command& command) {
  return fmt::format(
      "{{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n \"title\": \"pelton {}\",\n "
      "{}}}\n",
      command.name, SchemaOf(FieldsOf(command)));
}

}  // namespace pelton::config
