// `pelton run`: chat in the terminal. ^C stops the answer, ^D leaves.
#include <editline/readline.h>
#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "chat_view.h"
#include "commands.h"
#include "open_model.h"
#include "paths.h"
#include "progress.h"

namespace pelton::app {
namespace {

struct RunOptions {
  std::string state_dir;
  std::string system;
  double temperature = -1;
  int max_tokens = 1024;
  EngineSettings engine;
  int64_t seed = 0;
  bool stats = true;

  void Fields(config::Binder& v) {
    v.Field("system", system, {.help = "System message in front of the conversation."});
    v.Field("temperature", temperature, {.help = "0 takes the likeliest token always; below 0 the "
                                                 "model's own default.", .max = 10});
    v.Field("max-tokens", max_tokens, {.help = "Longest answer.", .min = 1, .max = 1048576});
    v.Field("seed", seed, {.help = "Same seed, same answer; 0: a fresh one each time.", .min = 0});
    v.Field("stats", stats, {.help = "Speed after each answer, on a terminal."});
    v.Field("state-dir", state_dir, {.help = "Where pulled models are.", .value_name = "DIR"});
    v.Group("Engine");
    engine.Fields(v);
  }
};

constexpr std::string_view kHelp =
    "/clear   forget the conversation\n"
    "/system TEXT   set the system message and forget the conversation\n"
    "/exit    leave (so does ^D)\n"
    "^C stops an answer. A line of \"\"\" begins and ends a text of several lines.\n";

backend::Message From(std::string role, std::string content) {
  backend::Message message;
  message.role = std::move(role);
  message.content = std::move(content);
  return message;
}

class Conversation {
 public:
  Conversation(backend::Backend& model, const RunOptions& options)
      : model_(model), options_(options), system_(options.system) {
    Clear();
  }

  void Clear() {
    messages_.clear();
    if (!system_.empty()) messages_.push_back(From("system", system_));
  }
  void SetSystem(std::string text) {
    system_ = std::move(text);
    Clear();
  }

  // False when the model could not answer; the message is then taken back.
  bool Say(std::string text, bool terminal) {
    messages_.push_back(From("user", std::move(text)));
    auto answer = StreamAnswer(model_, messages_,
                               {.temperature = static_cast<float>(options_.temperature),
                                .max_tokens = options_.max_tokens,
                                .seed = static_cast<uint64_t>(options_.seed)});
    if (!answer.ok()) {
      messages_.pop_back();
      fmt::print(stderr, "pelton: {}\n", answer.status().message());
      return false;
    }
    fmt::print("\n");
    messages_.push_back(From("assistant", answer->text));
    if (terminal && options_.stats) PrintStats(*answer);
    return true;
  }

 private:
  static void PrintStats(const Answer& answer) {
    const backend::Usage& u = answer.usage;
    const double after_first = static_cast<double>(u.total_ns - u.first_token_ns) * 1e-9;
    const double rate = u.completion_tokens > 1 && after_first > 0
                            ? (u.completion_tokens - 1) / after_first : 0.0;
    fmt::print(stderr, "\033[2m{}{} tokens, first after {:.0f} ms, {:.1f} tokens/s\033[0m\n",
               answer.interrupted ? "stopped; " : "", u.completion_tokens,
               static_cast<double>(u.first_token_ns) * 1e-6, rate);
  }

  backend::Backend& model_;
  const RunOptions& options_;
  std::string system_;
  std::vector<backend::Message> messages_;
};

std::optional<std::string> ReadLine(const char* prompt) {
  char* line = readline(prompt);
  if (line == nullptr) return std::nullopt;
  std::string text(line);
  std::free(line);
  if (!text.empty()) add_history(text.c_str());
  return text;
}

std::optional<std::string> ReadMessage() {
  auto line = ReadLine(">>> ");
  if (!line || *line != "\"\"\"") return line;
  std::string text;
  while ((line = ReadLine("... ")) && *line != "\"\"\"") text += *line + "\n";
  return text;
}

void Chat(Conversation& conversation, const std::string& name) {
  fmt::print("{}. /help for help, ^D to leave.\n", name);
  signal(SIGINT, SIG_IGN);  // at the prompt ^C must not end the program
  while (const auto text = ReadMessage()) {
    if (text->empty()) continue;
    if (*text == "/exit" || *text == "/bye") break;
    if (*text == "/help") fmt::print("{}", kHelp);
    else if (*text == "/clear") conversation.Clear();
    else if (text->starts_with("/system ")) conversation.SetSystem(text->substr(8));
    else if (text->starts_with("/")) fmt::print("unknown command; /help lists them\n");
    else conversation.Say(*text, true);
  }
  fmt::print("\n");
}

// Shows progress once loading has taken a second.
Result<std::unique_ptr<backend::Backend>> Open(ModelOpener& opener, const std::string& path) {
  ProgressBar bar("loading");
  const int64_t start_ns = NowNs();
  return opener.Open(path, {}, [&](uint64_t done, uint64_t total) {
    if (NowNs() - start_ns > 1'000'000'000) bar.Show(done, total);
  });
}

Status Run(const RunOptions& options, std::span<const std::string> arguments, int* exit_code) {
  auto path = ResolveModel(arguments.empty() ? "" : arguments[0], options.state_dir);
  if (!path.ok()) return path.status();
  ModelOpener opener(options.engine, options.state_dir);
  auto model = Open(opener, *path);
  if (!model.ok()) return model.status();
  Conversation conversation(**model, options);
  if (arguments.size() > 1) {
    *exit_code = conversation.Say(arguments[1], isatty(STDOUT_FILENO) == 1) ? 0 : 1;
  } else if (isatty(STDIN_FILENO) == 0) {
    std::string text(std::istreambuf_iterator<char>(std::cin), {});
    while (text.ends_with('\n')) text.pop_back();
    *exit_code = conversation.Say(text, false) ? 0 : 1;
  } else {
    Chat(conversation, *path);
  }
  return OkStatus();
}

}  // namespace

config::Command RunCommand() {
  auto options = std::make_shared<RunOptions>();
  return {
      .name = "run",
      .summary = "Chat with a model in the terminal, or answer one prompt.",
      .arguments = "[MODEL] [PROMPT]",
      .details = "pelton run                              chat with the default model\n"
                 "pelton run model.gguf \"Why is the sky blue?\"\n"
                 "git diff | pelton run model.gguf        the prompt from standard input",
      .arguments_max = 2,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run =
          [options](std::span<const std::string> arguments) {
            int exit_code = 0;
            const Status status = Run(*options, arguments, &exit_code);
            if (!status.ok()) fmt::print(stderr, "pelton: {}\n", status.message());
            return status.ok() ? exit_code : 1;
          },
  };
}

}  // namespace pelton::app
