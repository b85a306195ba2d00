// The commands of the program, one file each. Each function gives the command with its options
// declared and ready to run; `main.cc` only lists them.
#pragma once

#include "config/command_line.h"

namespace pelton::app {

config::Command ServeCommand();
config::Command PullCommand();
config::Command BenchCommand();
config::Command CacheCommand();
config::Command RunCommand();
config::Command DoctorCommand();
config::Command TokenizeCommand();
config::Command PerplexityCommand();
config::Command CompletionCommand(const config::Program& program);
config::Command ReferenceCommand(const config::Program& program);

}  // namespace pelton::app
