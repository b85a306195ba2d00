// `pelton pull`: fetch a model from the hub, resumable and checked.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "commands.h"
#include "links/hub.h"
#include "paths.h"
#include "progress.h"

namespace pelton::app {
namespace {

struct PullOptions {
  std::string state_dir;
  std::string hub = "https://huggingface.co";
  std::string hub_token;
  bool list = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("state-dir", state_dir, {.help = "Folder of all that outlives the program; models go to "
                                             "its models/ folder. By default the user's state folder "
                                             "(~/.local/state/pelton).", .value_name = "DIR"});
    v.Field("hub", hub, {.help = "Address of the hub.", .value_name = "URL"});
    v.Field("hub-token", hub_token, {.help = "Token for private or gated models; better given as "
                                             "PELTON_HUB_TOKEN or HF_TOKEN than as a flag.",
                                     .value_name = "TOKEN", .secret = true});
    v.Field("list", list, {.help = "Only list what the repository has."});
  }
};

volatile std::sig_atomic_t interrupted = 0;

int Complain(const Status& status) {
  fmt::print(stderr, "pelton: {}\n", status.message());
  return status.code() == StatusCode::kCancelled ? 130 : 1;
}

Status PullFiles(const links::HubOptions& hub, const links::HubReference& reference,
                 const std::vector<links::HubFile>& files, const std::string& folder) {
  for (const links::HubFile& file : files) {
    ProgressBar bar(file.path);
    const auto progress = [&](uint64_t done, uint64_t total) {
      bar.Show(done, total);
      return interrupted == 0;
    };
    RETURN_IF_ERROR(links::FetchHubFile(hub, reference, file, folder + "/" + file.path, progress));
  }
  return OkStatus();
}

int Pull(const PullOptions& options, std::span<const std::string> arguments) {
  if (arguments.empty()) {
    return Complain(InvalidArgument("which model? For example: pelton pull org/name:Q4_K_M"));
  }
  auto reference = links::ParseHubReference(arguments[0]);
  if (!reference.ok()) return Complain(reference.status());
  links::HubOptions hub{.endpoint = options.hub, .token = options.hub_token};
  if (const char* token = std::getenv("HF_TOKEN"); hub.token.empty() && token != nullptr) {
    hub.token = token;
  }
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  auto files = links::ListHubFiles(hub, *reference);
  if (!files.ok()) return Complain(files.status());
  if (options.list) {
    for (const links::HubFile& file : *files) {
      fmt::print("{:>12}  {}\n", file.size, file.path);
    }
    return 0;
  }
  auto chosen = links::SelectHubFiles(*files, reference->selection);
  if (!chosen.ok()) return Complain(chosen.status());
  std::signal(SIGINT, [](int) { interrupted = 1; });
  const std::string folder = ModelsDir(options.state_dir) + "/" + reference->repository;
  if (const Status s = PullFiles(hub, *reference, *chosen, folder); !s.ok()) return Complain(s);
  const bool gguf = chosen->front().path.ends_with(".gguf");
  const std::string first = gguf ? folder + "/" + chosen->front().path : folder;
  fmt::print("{}\nserve it: pelton serve --model {}\n", first, first);
  return 0;
}

}  // namespace

config::Command PullCommand() {
  auto options = std::make_shared<PullOptions>();
  return {
      .name = "pull",
      .summary = "Fetch a model from the hub; started again, it goes on where it ended.",
      .arguments = "ORG/NAME[:QUANTISATION|:FILE][@REVISION]",
      .details = "pelton pull bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M",
      .arguments_max = 1,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run = [options](std::span<const std::string> a) { return Pull(*options, a); },
  };
}

}  // namespace pelton::app
