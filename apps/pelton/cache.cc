// `pelton cache`: what is kept on disk to make starts and answers faster, and getting rid of it.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "models/packed_cache.h"
#include "paths.h"
#include "prefix_disk.h"

namespace pelton::app {
namespace {

struct CacheOptions {
  std::string packed_cache;
  std::string state_dir;

  template <typename V>
  void Fields(V& v) {
    v.Field("packed-cache", packed_cache,
            {.help = "Folder of packed weights; by default the user's cache folder "
                     "(~/.cache/pelton/packed).", .value_name = "DIR"});
    v.Field("state-dir", state_dir, {.help = "Folder for all that outlives the process.",
                                     .value_name = "DIR"});
  }
};

void Show(const models::PackedCache& cache, const std::string& folder) {
  uint64_t total = 0;
  for (const models::PackedFileInfo& file : cache.List()) {
    total += file.bytes;
    const std::time_t used = static_cast<std::time_t>(file.used_ns / 1'000'000'000);
    fmt::print("{:>9.1f} MB  used {:%Y-%m-%d %H:%M}  {}\n", static_cast<double>(file.bytes) / 1e6,
               fmt::localtime(used), file.label.empty() ? "not readable: " + file.path : file.label);
  }
  fmt::print("{:>9.1f} MB of packed weights in {}\n", static_cast<double>(total) / 1e6, folder);
}

int Told(const Status& status) {
  if (status.ok()) return 0;
  fmt::print(stderr, "pelton: {}\n", status.message());
  return 1;
}

int Run(const CacheOptions& options, std::span<const std::string> arguments) {
  const std::string folder = PackedCacheDir(options.packed_cache);
  const models::PackedCache cache({.folder = folder});
  const std::string what = arguments.empty() ? "show" : arguments[0];
  if (what == "show") {
    Show(cache, folder);
    return Told(ShowPrefixDisk(options.state_dir));
  }
  if (what == "wipe-prompts") return Told(WipePrefixDisk(options.state_dir));
  if (what == "wipe") {
    // Prompts first: while a server uses them nothing is deleted.
    if (const int code = Told(WipePrefixDisk(options.state_dir)); code != 0) return code;
    fmt::print("{:.1f} MB freed\n", static_cast<double>(cache.Wipe()) / 1e6);
    return 0;
  }
  fmt::print(stderr, "pelton: cache {}: show, wipe or wipe-prompts\n", what);
  return 2;
}

}  // namespace

config::Command CacheCommand() {
  auto options = std::make_shared<CacheOptions>();
  return {
      .name = "cache",
      .summary = "Show or wipe what is kept on disk for faster starts.",
      .arguments = "[show|wipe|wipe-prompts]",
      .details = "pelton cache            packed weights, and the prefix cache's prompts\n"
                 "pelton cache wipe       delete both; the next start packs anew\n"
                 "pelton cache wipe-prompts   the prompts only",
      .arguments_max = 1,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run = [options](std::span<const std::string> a) { return Run(*options, a); },
  };
}

}  // namespace pelton::app
