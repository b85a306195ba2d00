#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "config/command_line.h"
#include "config/nearest.h"

namespace pelton::config {
namespace {

struct Entry {
  std::string name, path;
  static Result<Entry> FromFlag(std::string_view word) {
    const size_t equals = word.find('=');
    if (word.empty()) return InvalidArgument("must not be empty");
    if (equals == std::string_view::npos) return Entry{"default", std::string(word)};
    return Entry{std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))};
  }
  template <typename V>
  void Fields(V& v) {
    v.Field("name", name, {.help = "Name clients use."});
    v.Field("path", path, {.help = "File."});
  }
};

struct Options {
  std::string host = "127.0.0.1";
  int port = 8080;
  double ratio = 0.5;
  bool fast = false;
  std::string mode = "auto";
  std::optional<int> limit;
  std::vector<Entry> model;
  std::string config;
  template <typename V>
  void Fields(V& v) {
    v.Group("Network");
    v.Field("host", host, {.help = "Address."});
    v.Field("port", port, {.help = "Port.", .min = 0, .max = 65535});
    v.Group("Rest");
    v.Field("ratio", ratio, {.help = "Ratio.", .min = 0, .max = 1});
    v.Field("fast-mode", fast, {.help = "Faster."});
    v.Field("mode", mode, {.help = "Mode.", .choices = {"auto", "off"}});
    v.Field("limit", limit, {.help = "Limit."});
    v.Field("model", model, {.help = "Model to serve.", .value_name = "[NAME=]FILE"});
    v.Field("config", config, {.help = "YAML file.", .value_name = "FILE"});
  }
};

Result<ParsedWords> Fill(Options& options, std::vector<std::string> words,
                         std::vector<std::string> environment = {}) {
  Binder binder;
  options.Fields(binder);
  return FillFields(binder.fields(), {.words = words, .environment = environment,
                                      .other_variables = {}}, 1);
}

TEST(CommandLine, ReadsEveryFormOfAFlag) {
  Options o;
  auto parsed = Fill(o, {"--port", "81", "--host=::1", "--fast-mode", "--model", "a=x.gguf",
                         "--model=y.gguf", "--limit", "3", "word"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(o.port, 81);
  EXPECT_EQ(o.host, "::1");
  EXPECT_TRUE(o.fast);
  ASSERT_EQ(o.model.size(), 2u);
  EXPECT_EQ(o.model[0].name, "a");
  EXPECT_EQ(o.model[1].path, "y.gguf");
  EXPECT_EQ(o.limit, 3);
  EXPECT_EQ(parsed->arguments, std::vector<std::string>{"word"});
  ASSERT_TRUE(Fill(o, {"--no-fast-mode"}).ok());
  EXPECT_FALSE(o.fast);
  ASSERT_TRUE(Fill(o, {"--fast-mode", "off", "--", "--port"}).ok());
}

TEST(CommandLine, NamesTheNearestOption) {
  Options o;
  EXPECT_EQ(Fill(o, {"--prot", "1"}).status().message(),
            "unknown option --prot; did you mean '--port'?");
  EXPECT_EQ(Fill(o, {"--zzzzzz"}).status().message(), "unknown option --zzzzzz");
  EXPECT_EQ(Fill(o, {"-p"}).status().message(), "unknown option -p");
  EXPECT_EQ(Fill(o, {"--port"}).status().message(), "--port needs a value");
  EXPECT_EQ(Fill(o, {"a", "b"}).status().message(), "'b' is one argument too many");
}

TEST(CommandLine, ChecksRangesOnBothSides) {
  Options o;
  EXPECT_TRUE(Fill(o, {"--port", "0"}).ok());
  EXPECT_TRUE(Fill(o, {"--port", "65535"}).ok());
  EXPECT_EQ(internal::NumberText(1 << 30), "1073741824");
  EXPECT_EQ(Fill(o, {"--port", "65536"}).status().message(), "--port must be at most 65535");
  EXPECT_EQ(Fill(o, {"--port", "-1"}).status().message(), "--port must be at least 0");
  EXPECT_EQ(Fill(o, {"--port", "8x"}).status().message(), "--port must be a whole number");
  EXPECT_EQ(Fill(o, {"--port", "99999999999999999999"}).status().message(),
            "--port is out of range");
  EXPECT_EQ(Fill(o, {"--ratio", "nan"}).status().message(), "--ratio must be a number");
  EXPECT_EQ(Fill(o, {"--mode", "fast"}).status().message(), "--mode must be one of auto, off");
  EXPECT_EQ(Fill(o, {"--fast-mode=maybe"}).status().message(), "--fast-mode must be on or off");
}

TEST(CommandLine, FlagBeatsVariableBeatsFileBeatsDefault) {
  const std::string path = testing::TempDir() + "pelton_config_test.yaml";
  std::ofstream(path) << "port: 1\nratio: 0.25\nfast_mode: on\nhost: file\nmodel:\n"
                         "  - {name: a, path: b.gguf}\n  - c.gguf\n";
  Options o;
  auto parsed = Fill(o, {"--config", path, "--port", "3"},
                     {"PELTON_PORT=2", "PELTON_RATIO=0.75", "PELTON_PROT=1", "HOME=/"});
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(o.port, 3);
  EXPECT_EQ(o.ratio, 0.75);
  EXPECT_EQ(o.host, "file");
  EXPECT_TRUE(o.fast);
  ASSERT_EQ(o.model.size(), 2u);
  EXPECT_EQ(o.model[0].name, "a");
  EXPECT_EQ(o.model[1].path, "c.gguf");
  ASSERT_EQ(parsed->warnings.size(), 1u);
  EXPECT_NE(parsed->warnings[0].find("PELTON_PROT"), std::string::npos);
  EXPECT_NE(parsed->warnings[0].find("PELTON_PORT"), std::string::npos);
  std::remove(path.c_str());
}

struct FileOnly {
  std::vector<Entry> models;
  template <typename V>
  void Fields(V& v) {
    v.Field("models", models, {.help = "Models.", .yaml_only = true});
  }
};

TEST(CommandLine, AFileOnlyOptionHasNoFlagAndNoVariable) {
  FileOnly o;
  Binder binder;
  o.Fields(binder);
  const std::vector<std::string> words = {"--models", "a=b"};
  EXPECT_EQ(FillFields(binder.fields(), {.words = words, .environment = {}, .other_variables = {}}, 0)
                .status().message(),
            "unknown option --models");
  EXPECT_TRUE(FillFromYaml(binder.fields(), "models: [a=b, {name: c}]").ok());
  EXPECT_EQ(o.models.size(), 2u);
}

TEST(Yaml, SaysLineAndNearestKey) {
  Options o;
  Binder binder;
  o.Fields(binder);
  const auto message = [&](std::string_view text) {
    return FillFromYaml(binder.fields(), text).message();
  };
  EXPECT_EQ(message("host: a\nprot: 1\n"), "line 2: unknown key 'prot'; did you mean 'port'?");
  EXPECT_EQ(message("port: 99999\n"), "line 1: 'port' must be at most 65535");
  EXPECT_EQ(message("port: [1]\n"), "line 1: 'port' must be a single value");
  EXPECT_EQ(message("model: x\n"), "line 1: 'model' must be a list");
  EXPECT_EQ(message("model:\n- {nam: x}\n"),
            "line 1: 'model' line 2: unknown key 'nam'; did you mean 'name'?");
  EXPECT_EQ(message("- a\n"), "must be a map of options");
  EXPECT_EQ(message("port: 1\nport: 2\n"), "line 2: 'port' is given twice");
  EXPECT_NE(message("a: [").find("line"), std::string::npos);
  EXPECT_EQ(message(""), "");
}

// yaml-cpp 0.7 reads endless empty documents from text that starts no node; found by fuzzing.
TEST(Yaml, TextThatStartsNoNodeEnds) {
  EXPECT_FALSE(ParseYaml(",").ok());
  EXPECT_FALSE(ParseYaml("a: 1\n---\nb: 2\n").ok());
  EXPECT_TRUE(ParseYaml("---\na: 1\n...\n").ok());
  const auto empty = ParseYaml("# nothing\n");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->kind, Node::Kind::kNull);
}

TEST(Yaml, IsBounded) {
  EXPECT_FALSE(ParseYaml(std::string(kYamlBytesMax + 1, ' ')).ok());
  EXPECT_TRUE(ParseYaml(std::string(kYamlBytesMax, ' ')).ok());
  EXPECT_FALSE(ParseYaml(std::string(100'000, '[')).ok());
  EXPECT_FALSE(ParseYaml("- " + std::string(100'000, '-')).ok());
  std::string dashes;
  for (int i = 0; i < 10'000; ++i) dashes += "- ";
  EXPECT_FALSE(ParseYaml(dashes).ok());
  // Aliases that would expand to 10^9 nodes.
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += "*a" + std::to_string(i - 1) + (j < 9 ? "," : "]\n");
  }
  EXPECT_FALSE(ParseYaml(bomb).ok());
  std::string deep = "x";
  for (int i = 0; i < kYamlDepthMax; ++i) deep = "[" + deep + "]";
  EXPECT_TRUE(ParseYaml(deep).ok());
  EXPECT_FALSE(ParseYaml("[" + deep + "]").ok());
}

TEST(Nearest, CountsEdits) {
  EXPECT_EQ(EditDistance("port", "prot"), 1);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("same", "same"), 0);
  EXPECT_GT(EditDistance(std::string(65, 'a'), std::string(65, 'a')), 64);
}

Program Sample(Options& options, int* ran) {
  Program p{.name = "pelton", .summary = "serves", .version = "1", .commands = {},
            .other_variables = {}};
  p.commands.push_back({.name = "serve", .summary = "Serve.", .arguments = "[MODEL]", .details = "",
                        .arguments_max = 1, .bind = [&](Binder& b) { options.Fields(b); },
                        .run = [ran](std::span<const std::string> a) {
                          *ran += 1 + static_cast<int>(a.size());
                          return 7;
                        }});
  return p;
}

TEST(Program, RunsACommandAndRefusesTheUnknown) {
  Options o;
  int ran = 0;
  Program p = Sample(o, &ran);
  const std::vector<std::string> good = {"serve", "m", "--port", "5"};
  EXPECT_EQ(RunProgram(p, good, {}), 7);
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(o.port, 5);
  const std::vector<std::string> bad = {"sreve"};
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunProgram(p, bad, {}), 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("did you mean 'serve'?"),
            std::string::npos);
}

TEST(Program, WritesHelpCompletionReferenceAndSchema) {
  Options o;
  int ran = 0;
  const Program p = Sample(o, &ran);
  const std::string help = HelpText(p, &p.commands[0]);
  EXPECT_NE(help.find("--port N"), std::string::npos);
  EXPECT_NE(help.find("[default: 8080]"), std::string::npos);
  EXPECT_NE(help.find("Network:"), std::string::npos);
  for (const std::string_view shell : {"bash", "zsh", "fish"}) {
    EXPECT_NE(CompletionScript(p, shell).find("fast-mode"), std::string::npos) << shell;
  }
  EXPECT_EQ(CompletionScript(p, "tcsh"), "");
  EXPECT_NE(ReferencePage(p).find("| `model[].path` | file only |"), std::string::npos);
  EXPECT_NE(SchemaJson(p.commands[0]).find("\"maximum\": 65535"), std::string::npos);
}

}  // namespace
}  // namespace pelton::config
