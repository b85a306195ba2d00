#include "prefix_disk.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/memory_budget.h"
#include "paths.h"

namespace pelton::app {
namespace {

constexpr uint64_t kDefaultBytesMax = uint64_t{4} << 30;
constexpr uint64_t kCopyBytesMin = uint64_t{4} << 20;  // blocks on their way to and from the disk
constexpr uint64_t kCopyBytesMax = uint64_t{64} << 20;
constexpr uint64_t kCopyShare = 64;  // of the free memory

}  // namespace

Result<DiskSize> DiskSize::FromFlag(std::string_view word) {
  if (word == "off") return DiskSize{.kind = Kind::kOff, .bytes = 0};
  auto size = ByteSize::FromFlag(word);
  if (!size.ok() || size->bytes == 0) return InvalidArgument("must be off or a size such as 8GiB");
  return DiskSize{.kind = Kind::kBytes, .bytes = size->bytes};
}

std::string PrefixDiskFolder(const std::string& state_dir) {
  return StateDir(state_dir) + "/prefix-cache";
}

#if PELTON_WITH_ENGINE

Result<std::unique_ptr<kv::DiskCache>> OpenPrefixDisk(const DiskSize& size,
                                                      const std::string& state_dir,
                                                      uint64_t memory_bytes) {
  const bool by_default = size.kind == DiskSize::Kind::kDefault;
  if (size.kind == DiskSize::Kind::kOff || (by_default && state_dir.empty())) {
    return std::unique_ptr<kv::DiskCache>();
  }
  uint64_t bytes = size.bytes;
  if (by_default) {
    std::error_code error;
    std::filesystem::create_directories(StateDir(state_dir), error);
    const auto space = std::filesystem::space(StateDir(state_dir), error);
    bytes = error ? 0 : std::min<uint64_t>(kDefaultBytesMax, space.available / 10);
  }
  const uint64_t copies = std::clamp(memory_bytes / kCopyShare, kCopyBytesMin, kCopyBytesMax);
  auto disk = kv::DiskCache::Open({.folder = PrefixDiskFolder(state_dir),
                                   .bytes_max = bytes,
                                   .build = PELTON_VERSION,
                                   .staged_bytes_max = copies / 4,
                                   .queued_bytes_max = copies / 2});
  if (disk.ok() || !by_default) return disk;
  LogWarn("serve", "no prefix cache on disk: {}", disk.status().message());
  return std::unique_ptr<kv::DiskCache>();
}

void AddPrefixDiskMetrics(obs::Registry& registry, const kv::DiskCache& disk) {
  using Stats = kv::DiskCacheStats;
  const auto gauge = [&](std::string_view name, std::string_view help, uint64_t Stats::*member) {
    registry.AddGauge(name, help, {}, [&disk, member] {
      return static_cast<double>(disk.Stats().*member);
    });
  };
  const auto counter = [&](std::string_view name, std::string_view help, uint64_t Stats::*member) {
    registry.AddCounterFunction(name, help, {}, [&disk, member] {
      return static_cast<double>(disk.Stats().*member);
    });
  };
  gauge("pelton_prefix_disk_bytes", "Bytes of the prefix cache on disk.", &Stats::bytes);
  gauge("pelton_prefix_disk_bytes_max", "The cap of it.", &Stats::bytes_max);
  gauge("pelton_prefix_disk_files", "Blocks on disk.", &Stats::files);
  gauge("pelton_prefix_disk_memory_bytes", "Memory of blocks on their way to and from the disk.",
        &Stats::memory_bytes);
  counter("pelton_prefix_disk_written_blocks_total", "Blocks written.", &Stats::written);
  counter("pelton_prefix_disk_read_blocks_total", "Blocks read and believed.", &Stats::read);
  counter("pelton_prefix_disk_evicted_blocks_total", "Blocks deleted to keep the cap.",
          &Stats::evicted);
  counter("pelton_prefix_disk_damaged_files_total", "Files dropped: cut, changed or foreign.",
          &Stats::damaged);
  counter("pelton_prefix_disk_skipped_blocks_total", "Blocks not written: the queue was full.",
          &Stats::skipped);
  counter("pelton_prefix_disk_failed_writes_total", "Writes that the system refused.",
          &Stats::failed);
}

namespace {

Status Print(const Result<kv::DiskFolderFacts>& facts, std::string_view what) {
  if (facts.status().code() == StatusCode::kNotFound) return OkStatus();
  RETURN_IF_ERROR(facts.status());
  fmt::print("{:>9.1f} MB of prompts (prefix cache, {} blocks) {}\n",
             static_cast<double>(facts->bytes) / 1e6, facts->files, what);
  return OkStatus();
}

}  // namespace

Status ShowPrefixDisk(const std::string& state_dir) {
  const std::string folder = PrefixDiskFolder(state_dir);
  return Print(kv::ShowDiskFolder(folder), "in " + folder);
}

Status WipePrefixDisk(const std::string& state_dir) {
  return Print(kv::WipeDiskFolder(PrefixDiskFolder(state_dir)), "deleted");
}

#endif

}  // namespace pelton::app
