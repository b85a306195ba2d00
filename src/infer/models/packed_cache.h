// Packed weights kept on disk between starts (docs/formats/packed.md, docs/adr/0015): a folder of
// files, one a model, each the memory of its weights under a key of what it was packed from.
//
// A file that does not fit in any respect is removed, said so in one log line, and the model packed
// anew: the cache can make a start slower, never wrong.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"
#include "format/packed_file.h"
#include "nn/team.h"

namespace pelton::models {

class WeightPlan;

struct PackedCacheOptions {
  std::string folder;                        // made when needed, mode 0700
  uint64_t bytes_max = uint64_t{16} << 30;   // of all files; the longest unused go first
  uint64_t model_bytes_min = 32u << 20;      // smaller weights are packed faster than a file is worth
};

// What the file of one model says and holds. Views into the model's weights and its source.
struct PackedImage {
  format::PackedHead head;               // sums and content are filled in while writing
  std::span<const std::byte> body;       // padded to format::kPackedAlign
  const format::ModelFile* source = nullptr;
  std::vector<std::span<const std::byte>> source_bytes;  // of every tensor packed, in order
};

// One file of the folder, for people.
struct PackedFileInfo {
  std::string path, label;
  uint64_t bytes = 0;
  int64_t used_ns = 0;  // Unix time
};

class PackedCache {  // immutable; thread-safe
 public:
  explicit PackedCache(PackedCacheOptions options) : options_(std::move(options)) {}

  // Key, label, sections (without scales), identity. Reads samples of the source.
  static PackedImage Describe(const WeightPlan& plan, const format::ModelFile& file);

  // Fills `arena` (image.head.body_bytes, padded to format::kPackedAlign) and the sections' scales from
  // the cache, read and checked by the team, whose Turn the caller holds. False: there is no file
  // that fits, and the arena's content is undefined. `between` (may be empty) is called now and then,
  // with no piece of work under way.
  bool Load(PackedImage& image, std::span<std::byte> arena, nn::Team& team,
            const std::function<void()>& between = {}) const;

  // Writes the image's file, after making room. ABORTED when another process does, or on `stop`;
  // FAILED_PRECONDITION when the source changed meanwhile; OUT_OF_RANGE when the weights are outside
  // what is kept.
  Status Write(const PackedImage& image, std::stop_token stop) const;

  std::string PathOf(const format::PackedHead& head) const;
  std::vector<PackedFileInfo> List() const;  // the last used first
  uint64_t Wipe() const;                     // removes all files; how many bytes that were

 private:
  Status Read(const std::string& path, PackedImage& image, std::span<std::byte> arena,
              nn::Team& team, const std::function<void()>& between) const;
  Status MakeRoom(uint64_t bytes, const std::string& kept) const;

  const PackedCacheOptions options_;
};

}  // namespace pelton::models
