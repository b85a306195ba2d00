// pelton: one program. This file is its table of contents.
#include <string>
#include <vector>

#include "commands.h"

extern char** environ;

namespace {

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

}  // namespace

int main(int argc, char** argv) {
  namespace app = pelton::app;
  pelton::config::Program program{
      .name = "pelton",
      .summary = "serves language models from this machine, over the APIs that clients speak",
      .version = PELTON_VERSION,
      .commands = {},
      .other_variables = {"PELTON_CACHE", "PELTON_FORCE_ISA",
                          // set by the tests for themselves
                          "PELTON_BIN", "PELTON_MODEL_SMOLLM2", "PELTON_MODEL_GEMMA3",
                          "PELTON_PACKED_CACHE"},
  };
  program.commands = {
      app::ServeCommand(),
      app::RunCommand(),
      app::PullCommand(),
      app::CacheCommand(),
      app::DoctorCommand(),
      app::TokenizeCommand(),
      app::PerplexityCommand(),
      app::BenchCommand(),
      app::CompletionCommand(program),
      app::ReferenceCommand(program),
  };
  const std::vector<std::string> words(argv + 1, argv + argc);
  return pelton::config::RunProgram(program, words, Environment());
}
