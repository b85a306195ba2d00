// The prefix cache on disk, for the commands that have to do with it: where it lies, how large it may
// be, its figures.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "obs/metrics.h"
#if PELTON_WITH_ENGINE
#include "kv/disk_cache.h"
#endif

namespace pelton::app {

// "off", or a size ("8GiB").
struct DiskSize {
  enum class Kind : uint8_t { kDefault, kOff, kBytes };
  Kind kind = Kind::kDefault;
  uint64_t bytes = 0;
  static Result<DiskSize> FromFlag(std::string_view word);
};

std::string PrefixDiskFolder(const std::string& state_dir);  // of the option --state-dir as given

#if PELTON_WITH_ENGINE
// Null when it is off: by default it is on only with a --state-dir that was given, of at most 4 GiB and
// a tenth of what is free there. A size that was asked for and cannot be is an error; the default only
// warns. `memory_bytes`: free memory; a 64th of it, 4 to 64 MiB, is for copies on their way.
Result<std::unique_ptr<kv::DiskCache>> OpenPrefixDisk(const DiskSize& size,
                                                      const std::string& state_dir,
                                                      uint64_t memory_bytes);
void AddPrefixDiskMetrics(obs::Registry& registry, const kv::DiskCache& disk);
// For `pelton cache`: one line on what lies there, or after deleting it what lay there.
Status ShowPrefixDisk(const std::string& state_dir);
Status WipePrefixDisk(const std::string& state_dir);
#endif

}  // namespace pelton::app
