#include "backend/native/fingerprint.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>

#include "codec/sha256.h"

namespace pelton::backend {

std::string FingerprintOf(const format::ModelFile& file) {
  constexpr size_t kPlaces = 256;
  constexpr size_t kSampleBytes = 4096;
  codec::Sha256Stream stream;
  for (const MappedFile& shard : file.files()) {
    const auto bytes = shard.bytes();
    struct stat facts{};
    if (stat(shard.path().c_str(), &facts) != 0) facts = {};
    stream.Push(fmt::format("{} {}.{};", bytes.size(), facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec));
    const size_t sample = std::min(kSampleBytes, bytes.size());
    const size_t last = bytes.size() - sample;
    for (size_t i = 0; i < kPlaces; ++i) {
      // Beginning (names and shapes) and end included.
      const size_t at = last / (kPlaces - 1) * i + last % (kPlaces - 1) * i / (kPlaces - 1);
      stream.Push({reinterpret_cast<const char*>(bytes.data()) + at, sample});
    }
    // A touch maps a whole folio of the page cache, megabytes of it: together a second copy of much of
    // the model. What metadata needs comes back by itself.
    shard.DropPages(0, bytes.size());
  }
  return codec::EncodeHex(stream.Finish());
}

}  // namespace pelton::backend
