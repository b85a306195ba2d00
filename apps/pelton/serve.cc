// `pelton serve`: composes the server, and takes it down in order.
#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/app.h"
#include "base/clock.h"
#include "base/cpu_watch.h"
#include "base/log.h"
#include "base/memory_budget.h"
#include "base/thread.h"
#include "commands.h"
#include "obs/metrics.h"
#include "open_model.h"
#include "paths.h"
#include "prefix_disk.h"
#include "server/server.h"
#include "serving/fleet.h"
#include "serving/service.h"

namespace pelton::app {
namespace {

constexpr int kDrainPollMs = 50;
constexpr int kDrainRestUs = 5000;                // between looks when only a sequence is left
constexpr int64_t kCancelWaitNs = 3'000'000'000;  // for cancelled answers to be told so

struct ServeOptions {
  std::string config;
  std::string state_dir;
  DiskSize prefix_disk;
  std::vector<serving::ModelSource> model;
  std::vector<serving::ModelSource> models;
  server::ServerOptions server;
  api::ApiOptions api;
  serving::ServingOptions serving;
  EngineSettings engine;
  serving::CatalogueOptions catalogue;
  ByteSize memory;

  void Fields(config::Binder& v) {
    v.Group("Models");
    v.Field("model", model, {.help = "Model to serve; repeatable.", .value_name = "[NAME=]FILE"});
    v.Field("models", models, {.help = "Models to serve.", .yaml_only = true});
    catalogue.Fields(v);
    v.Field("memory", memory,
            {.help = "Memory that the process may use, such as 6GiB; by default what the cgroup and "
                     "the machine leave. A model that does not fit is refused.",
             .value_name = "SIZE"});
    v.Field("state-dir", state_dir, {.help = "Folder for all that outlives the process.",
                                     .value_name = "DIR"});
    v.Field("prefix-cache-disk", prefix_disk,
            {.help = "Size of the prefix cache on disk, such as 8GiB, or off. Its files hold prompts "
                     "in readable form. By default at most 4GiB with --state-dir, else off.",
             .value_name = "SIZE|off"});
    v.Field("config", config, {.help = "Configuration file (YAML).", .value_name = "FILE"});
    v.Group("Server");
    server.Fields(v);
    v.Group("API");
    api.Fields(v);
    v.Group("Admission");
    serving.Fields(v);
    v.Group("Engine");
    engine.Fields(v);
  }
};

// One line, whatever the message.
int Fail(const Status& status) {
  std::string line = status.message();
  std::replace(line.begin(), line.end(), '\n', ' ');
  fmt::print(stderr, "pelton: {}\n", line);
  return 1;
}

// A connection is a descriptor: take as many as the system lets this process have.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// SIGUSR1 is how the loader says that it has ended.
sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

void PrintReady(const ServeOptions& options, int port, const serving::Catalogue& catalogue,
                int64_t started_ns) {
  const auto models = catalogue.Views();
  for (const serving::ModelView& model : models) {
    if (!model.served) {
      fmt::print("model {}: loaded with the first request\n", model.name);
      continue;
    }
    const backend::Facts& facts = model.served->backend->facts();
    fmt::print("model {}: {}{}{}, context {}\n", model.name, facts.architecture,
               facts.quantization.empty() ? "" : " ", facts.quantization, facts.context);
  }
  const bool keys = !options.server.keys.empty() || !options.server.api_key_file.empty();
  const std::string& host = options.server.net.host;
  const bool v6 = host.find(':') != std::string::npos && !host.starts_with('[');
  const std::string name = host == "0.0.0.0" ? "127.0.0.1" : v6 ? "[" + host + "]" : host;
  fmt::print("ready in {:.2f} s on http://{}:{}\n",
             static_cast<double>(NowNs() - started_ns) * 1e-9, name, port);
  if (options.server.playground == "on") {
    fmt::print("playground: open http://{}:{}/ in a browser\n", name, port);
  }
  fmt::print("try: curl http://{}:{}/v1/chat/completions -H 'content-type: application/json'{} "
             "-d '{{\"model\":\"{}\","
             "\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n",
             name, port, keys ? " -H \"authorization: Bearer $KEY\"" : "", models.front().name);
  std::fflush(stdout);
}

// Everything of a running server, first what the others stand on.
class Serving {
 public:
  explicit Serving(ServeOptions& options)
      : options_(options), opener_(options.engine, options.state_dir),
        cpu_watch_([this](const CpuBudget& budget) { opener_.OnCpuBudget(budget); }) {}

  int Run();

 private:
  Status Compose();
  Status Load();
  Result<std::unique_ptr<backend::Backend>> Open(const serving::LoadJob& job);
  void AddMachineMetrics();
  void Drain();
  bool Quiet(int timeout_ms);
  bool WaitQuiet(int64_t earliest_ns, int64_t latest_ns);
  bool WaitForTurns();

  ServeOptions& options_;
  const int64_t started_ns_ = NowNs();
  const sigset_t signals_ = HandledSignals();
  obs::Registry registry_;
#if PELTON_WITH_ENGINE
  std::unique_ptr<kv::DiskCache> prefix_disk_;  // outlives the engines
#endif
  ModelOpener opener_;
  CpuWatch cpu_watch_;
  std::unique_ptr<serving::Catalogue> catalogue_;
  std::unique_ptr<identity::KeyRing> keys_;
  std::unique_ptr<serving::Service> service_;
  std::unique_ptr<api::App> app_;
  std::unique_ptr<serving::Fleet> fleet_;
  std::unique_ptr<server::Server> server_;
};

Status Serving::Compose() {
  std::vector<serving::ModelSource> sources = options_.models;
  sources.insert(sources.end(), options_.model.begin(), options_.model.end());
  if (sources.empty()) sources.push_back({});  // the only pulled model, or the default one
  for (serving::ModelSource& source : sources) {
    auto path = ResolveModel(source.path, options_.state_dir);
    if (!path.ok()) return path.status();
    source.path = *std::move(path);
  }
  RETURN_IF_ERROR(opener_.SetMemory(options_.memory.bytes));
#if PELTON_WITH_ENGINE
  auto disk = OpenPrefixDisk(options_.prefix_disk, options_.state_dir,
                             opener_.memory()->free_bytes());
  if (!disk.ok()) return disk.status();
  prefix_disk_ = *std::move(disk);
  RETURN_IF_ERROR(opener_.UsePrefixDisk(prefix_disk_.get()));
  if (prefix_disk_) AddPrefixDiskMetrics(registry_, *prefix_disk_);
#endif
  auto catalogue = serving::Catalogue::Make(std::move(sources), options_.catalogue);
  if (!catalogue.ok()) return catalogue.status();
  catalogue_ = *std::move(catalogue);
  auto keys = server::MakeKeyRing(options_.server);
  if (!keys.ok()) return keys.status();
  keys_ = *std::move(keys);
  options_.serving.admission.several_tenants = keys_->has_several_tenants();
  service_ = std::make_unique<serving::Service>(options_.serving, *catalogue_, registry_,
                                                SystemClock());
  AddMachineMetrics();
  app_.reset(new api::App{*service_, registry_, options_.api, PELTON_VERSION});
  app_->memory = opener_.memory();
  app_->cpu = &cpu_watch_;
  auto server = server::Server::Start(options_.server, *keys_, *app_);
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  return OkStatus();
}

void Serving::AddMachineMetrics() {
  registry_.AddGauge("pelton_compute_threads", "Threads that compute.", {},
                     [this] { return opener_.compute_threads(); });
  registry_.AddGauge("pelton_cpu_quota", "CPUs that the cgroup's quota is worth; 0: no quota.", {},
                     [this] { return cpu_watch_.budget().quota.value_or(0); });
  registry_.AddCounterFunction(
      "pelton_cpu_throttled_seconds_total", "CPU time that the quota held this process back for.",
      {}, [this] { return static_cast<double>(cpu_watch_.throttling().throttled_us) * 1e-6; });
  registry_.AddCounterFunction(
      "pelton_cpu_throttled_periods_total", "Periods of the quota in which it did.", {},
      [this] { return static_cast<double>(cpu_watch_.throttling().throttled_periods); });
}

Result<std::unique_ptr<backend::Backend>> Serving::Open(const serving::LoadJob& job) {
  OpenPlace place{.name = job.name, .others = static_cast<int>(job.others.size()),
                  .others_bytes = 0, .log_progress = true};
  for (const std::string& path : job.others) {
    std::error_code error;
    const uintmax_t bytes = std::filesystem::file_size(path, error);  // near to the packed weights
    if (!error) place.others_bytes += bytes;
  }
  // Room for a model that an operator adds.
  if (!options_.catalogue.model_dirs.empty()) ++place.others;
  return opener_.Open(job.path, place, [&job](uint64_t done, uint64_t total) {
    job.progress->done_bytes.store(done);
    job.progress->total_bytes.store(total);
  });
}

// Loads on Fleet's threads, so that a signal meanwhile ends the process at once.
Status Serving::Load() {
  Status status;
  std::atomic<bool> done{false};
  const pthread_t main_thread = pthread_self();
  catalogue_->OnStarted([&](const Status& outcome) {
    status = outcome;
    done.store(true);
    pthread_kill(main_thread, SIGUSR1);
  });
  fleet_ = std::make_unique<serving::Fleet>(
      *catalogue_, [this](const serving::LoadJob& job) { return Open(job); },
      [this](const std::string& model) { service_->OnLoaded(model); });
  while (!done.load()) {
    int signal = 0;
    sigwait(&signals_, &signal);
    if (signal != SIGUSR1) _exit(0);  // nothing runs yet
  }
  return status;
}

// True when no answer is under way and no sequence either: one whose client has gone may outlive
// its answer by a step.
bool Serving::Quiet(int timeout_ms) {
  if (!server_->WaitIdle(timeout_ms) || service_->admission().sequences() > 0) return false;
  for (const auto& served : catalogue_->Ready()) {
    const backend::Stats stats = served->backend->GetStats();
    if (stats.running + stats.waiting > 0) return false;
  }
  return catalogue_->NothingRetiring();
}

// From the outside in: new work, running work, listener. A second signal ends it at once.
void Serving::Drain() {
  LogInfo("serve", "shutting down: new work is refused, running answers get {} s",
          options_.server.drain_s);
  server_->BeginDrain();
  const int64_t now_ns = NowNs();
  const int64_t earliest_ns = now_ns + static_cast<int64_t>(options_.server.drain_delay_s * 1e9);
  const int64_t latest_ns =
      std::max(earliest_ns, now_ns + static_cast<int64_t>(options_.server.drain_s * 1e9));
  if (WaitQuiet(earliest_ns, latest_ns) && WaitForTurns()) {
    server_->StopAccepting();
    return;
  }
  server_->StopAccepting();
  service_->CancelAll();
  if (WaitQuiet(0, NowNs() + kCancelWaitNs) && WaitForTurns()) return;
  // What does not even cancel may call into anything that would be taken down now.
  LogWarn("serve", "some work could not be ended; leaving without it");
  _exit(0);
}

// Until every loop has turned once more: then none holds an answer that it has told the end of. The
// last user of a model must not be that model's own thread. False when one stands still.
bool Serving::WaitForTurns() {
  const int64_t since_ns = NowNs();
  for (const auto& served : catalogue_->Ready()) {
    while (served->backend->GetStats().heartbeat_ns <= since_ns) {
      if (NowNs() - since_ns > kCancelWaitNs) return false;
      usleep(kDrainRestUs);
    }
  }
  return true;
}

// False when it is not quiet by `latest_ns`; true not before `earliest_ns`.
bool Serving::WaitQuiet(int64_t earliest_ns, int64_t latest_ns) {
  while (true) {
    const timespec at_once{};
    const int signal = sigtimedwait(&signals_, nullptr, &at_once);
    if (signal == SIGTERM || signal == SIGINT) _exit(128 + signal);
    const bool quiet = Quiet(kDrainPollMs);
    const int64_t now_ns = NowNs();
    if (quiet && now_ns >= earliest_ns) return true;
    if (now_ns >= latest_ns) return false;
    usleep(kDrainRestUs);
  }
}

int Serving::Run() {
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  if (const Status status = Compose(); !status.ok()) return Fail(status);
  if (const Status status = Load(); !status.ok()) return Fail(status);
  PrintReady(options_, server_->port(), *catalogue_, started_ns_);
  int signal = SIGUSR1;
  while (signal == SIGUSR1) sigwait(&signals_, &signal);
  Drain();
  // A load takes as long as it takes; nobody waits for it any more.
  if (catalogue_->Loading()) _exit(0);
  server_.reset();
  return 0;
}

}  // namespace

config::Command ServeCommand() {
  auto options = std::make_shared<ServeOptions>();
  return {
      .name = "serve",
      .summary = "Serve models over HTTP (the OpenAI API).",
      .arguments = "",
      .details = "pelton serve --model smollm.gguf\n"
                 "pelton serve --model chat=llama.gguf --port 9000 --api-key-file keys\n"
                 "pelton serve --model 'sim:?rate=50'      a simulated model, for tests",
      .arguments_max = 0,
      .hidden = false,
      .bind = [options](config::Binder& binder) { options->Fields(binder); },
      .run = [options](std::span<const std::string>) { return Serving(*options).Run(); },
  };
}

}  // namespace pelton::app
