#include "config/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "config/nearest.h"

namespace pelton::config {
namespace {

Field* FindField(std::vector<Field>& fields, std::string_view name) {
  for (Field& f : fields) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

Status Wrong(std::string_view where, const Status& why) {
  return InvalidArgument(fmt::format("{} {}", where, why.message()));
}

// One "--name", "--name=value", "--name value" or "--no-name". `taken` counts words used.
struct FlagReader {
  std::vector<Field>& fields;
  std::map<std::string, bool> cleared;  // lists that a flag has already emptied

  Status Set(Field& field, std::string_view word) {
    if (field.repeatable && !cleared[field.name]) {
      field.clear();
      cleared[field.name] = true;
    }
    if (const Status s = field.set_word(word); !s.ok()) return Wrong("--" + field.name, s);
    return OkStatus();
  }

  Result<size_t> Read(std::span<const std::string> words) {
    std::string_view name = std::string_view(words[0]).substr(2);
    const size_t equals = name.find('=');
    const bool inline_value = equals != std::string_view::npos;
    const std::string_view value = inline_value ? name.substr(equals + 1) : std::string_view();
    name = name.substr(0, equals);
    Field* field = FindField(fields, name);
    if (field == nullptr && name.starts_with("no-")) {
      Field* positive = FindField(fields, name.substr(3));
      if (positive != nullptr && positive->is_switch && !inline_value) {
        RETURN_IF_ERROR(Set(*positive, "off"));
        return size_t{1};
      }
    }
    if (field == nullptr || !field->set_word) return Unknown(name);
    if (inline_value) {
      RETURN_IF_ERROR(Set(*field, value));
      return size_t{1};
    }
    if (field->is_switch) {  // "--stream" or "--stream off"
      const bool has_word = words.size() > 1 && (words[1] == "on" || words[1] == "off");
      RETURN_IF_ERROR(Set(*field, has_word ? words[1] : "on"));
      return size_t{has_word ? 2U : 1U};
    }
    if (words.size() < 2) return InvalidArgument(fmt::format("--{} needs a value", name));
    RETURN_IF_ERROR(Set(*field, words[1]));
    return size_t{2};
  }

  Status Unknown(std::string_view name) {
    std::vector<std::string> known = {"help"};
    for (const Field& f : fields) {
      if (f.set_word) known.push_back(f.name);
    }
    std::string hint = NearestHint(name, known);
    if (!hint.empty()) hint.replace(hint.find('\'') + 1, 0, "--");
    return InvalidArgument(fmt::format("unknown option --{}{}", name, hint));
  }
};

Status FillFromEnvironment(std::vector<Field>& fields, const Sources& sources,
                           std::vector<std::string>* warnings) {
  std::vector<std::string> known(sources.other_variables.begin(), sources.other_variables.end());
  for (const Field& f : fields) {
    if (f.set_word) known.push_back(VariableName(f.name));
  }
  for (const std::string& entry : sources.environment) {
    if (!entry.starts_with("PELTON_")) continue;
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& f) {
      return f.set_word && VariableName(f.name) == name;
    });
    if (field == fields.end()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        warnings->push_back(fmt::format("the variable {} means nothing to this command{}", name,
                                        NearestHint(name, known)));
      }
      continue;
    }
    if (field->repeatable) field->clear();
    if (const Status s = field->set_word(std::string_view(entry).substr(equals + 1)); !s.ok()) {
      return Wrong(name, s);
    }
  }
  return OkStatus();
}

// The value that flags or the environment give to "config", before anything else is filled.
std::string ConfigPath(const std::vector<Field>& fields, const Sources& sources) {
  const bool has = std::any_of(fields.begin(), fields.end(),
                               [](const Field& f) { return f.name == "config"; });
  if (!has) return "";
  std::string path;
  for (const std::string& entry : sources.environment) {
    if (entry.starts_with("PELTON_CONFIG=")) path = entry.substr(14);
  }
  for (size_t i = 0; i < sources.words.size(); ++i) {
    const std::string& word = sources.words[i];
    if (word == "--") break;
    if (word.starts_with("--config=")) path = word.substr(9);
    if (word == "--config" && i + 1 < sources.words.size()) path = sources.words[i + 1];
  }
  return path;
}

Status FillFromFile(std::vector<Field>& fields, const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound("cannot read the configuration " + path);
  std::string text(kYamlBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (const Status s = FillFromYaml(fields, text); !s.ok()) return s.Prefixed(path);
  return OkStatus();
}

int Fail(std::string_view text, std::string_view command) {
  fmt::print(stderr, "pelton: {}\n", text);
  fmt::print(stderr, "try: pelton {}{}--help\n", command, command.empty() ? "" : " ");
  return 2;
}

const Command* FindCommand(const Program& program, std::string_view name) {
  for (const Command& c : program.commands) {
    if (c.name == name) return &c;
  }
  return nullptr;
}

int RunCommand(Program& program, const Command& command, std::span<const std::string> words,
               std::span<const std::string> environment) {
  Binder binder;
  if (command.bind) command.bind(binder);
  auto parsed = FillFields(binder.fields(),
                           {.words = words,
                            .environment = environment,
                            .other_variables = program.other_variables},
                           command.arguments_max);
  if (!parsed.ok()) return Fail(parsed.status().message(), command.name);
  if (parsed->help) {
    fmt::print("{}", HelpText(program, &command));
    return 0;
  }
  for (const std::string& warning : parsed->warnings) {
    fmt::print(stderr, "pelton: warning: {}\n", warning);
  }
  return command.run(parsed->arguments);
}

}  // namespace

Status FillFromYaml(std::vector<Field>& fields, std::string_view text) {
  auto root = ParseYaml(text);
  if (!root.ok()) return root.status();
  if (root->kind == Node::Kind::kNull) return OkStatus();
  if (root->kind != Node::Kind::kMap) return InvalidArgument("must be a map of options");
  return internal::FillMembers(fields, *root);
}

Result<ParsedWords> FillFields(std::vector<Field>& fields, const Sources& sources,
                               size_t arguments_max) {
  ParsedWords parsed;
  for (const std::string& word : sources.words) {
    if (word == "--") break;
    if (word == "--help" || word == "-h") parsed.help = true;
  }
  if (parsed.help) return parsed;
  if (const std::string path = ConfigPath(fields, sources); !path.empty()) {
    RETURN_IF_ERROR(FillFromFile(fields, path));
  }
  RETURN_IF_ERROR(FillFromEnvironment(fields, sources, &parsed.warnings));
  FlagReader flags{fields, {}};
  bool only_arguments = false;
  for (size_t i = 0; i < sources.words.size();) {
    const std::string& word = sources.words[i];
    if (!only_arguments && word == "--") {
      only_arguments = true;
      ++i;
    } else if (!only_arguments && word.starts_with("--")) {
      auto taken = flags.Read(sources.words.subspan(i));
      if (!taken.ok()) return taken.status();
      i += *taken;
    } else if (!only_arguments && word.size() > 1 && word[0] == '-') {
      return InvalidArgument(fmt::format("unknown option {}", word));
    } else {
      parsed.arguments.push_back(word);
      ++i;
    }
  }
  if (parsed.arguments.size() > arguments_max) {
    return InvalidArgument(
        fmt::format("'{}' is one argument too many", parsed.arguments[arguments_max]));
  }
  return parsed;
}

int RunProgram(Program& program, std::span<const std::string> words,
               std::span<const std::string> environment) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    const Command* about = words.size() > 1 ? FindCommand(program, words[1]) : nullptr;
    fmt::print("{}", HelpText(program, about));
    return words.empty() ? 2 : 0;
  }
  if (words[0] == "--version" || words[0] == "version") {
    fmt::print("{} {}\n", program.name, program.version);
    return 0;
  }
  const Command* command = FindCommand(program, words[0]);
  if (command == nullptr) {
    std::vector<std::string> known;
    for (const Command& c : program.commands) {
      if (!c.hidden) known.emplace_back(c.name);
    }
    return Fail(fmt::format("unknown command '{}'{}", words[0], NearestHint(words[0], known)), "");
  }
  return RunCommand(program, *command, words.subspan(1), environment);
}

}  // namespace pelton::config
