#include "models/packed_cache.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "base/disk_file.h"
#include "base/fast_hash.h"
#include "base/log.h"
#include "base/plain_file.h"
#include "codec/sha256.h"
#include "kernels/layout_version.h"
#include "models/weights.h"

namespace pelton::models {
namespace {

namespace fs = std::filesystem;
using format::kPackedAlign;
using format::kPackedChunkBytes;

constexpr std::string_view kSuffix = ".packed";
constexpr uint64_t kFreeBytesMin = 256u << 20;  // left on the disk for everybody else
constexpr int kSamples = 64;                    // of the source under the key
constexpr size_t kSampleBytes = 4096;
constexpr int64_t kRacyNs = 3'000'000'000;      // coarser than the clock of any file system

// A thing that went wrong with a file of this path, as opposed to there being none.
bool IsMissing(const Status& status) { return status.code() == StatusCode::kNotFound; }

// Of all files of the source, or 0 when one changed so lately that another change might look alike.
uint64_t SourceIdentity(const format::ModelFile& file) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t now_ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  uint64_t hash = 1;
  for (const MappedFile& mapped : file.files()) {
    const FileIdentity& id = mapped.identity();
    if (id.changed_ns > now_ns - kRacyNs) return 0;
    const uint64_t words[5] = {id.device, id.inode, id.bytes, static_cast<uint64_t>(id.modified_ns),
                               static_cast<uint64_t>(id.changed_ns)};
    hash = FastHash(std::as_bytes(std::span(words)), hash);
  }
  return std::max<uint64_t>(hash, 1);
}

// Pieces of kPackedChunkBytes of all tensors, in order.
std::vector<std::span<const std::byte>> Pieces(std::span<const std::span<const std::byte>> tensors) {
  std::vector<std::span<const std::byte>> out;
  for (std::span<const std::byte> rest : tensors) {
    while (!rest.empty()) {
      const size_t size = std::min<size_t>(rest.size(), kPackedChunkBytes);
      out.push_back(rest.first(size));
      rest = rest.subspan(size);
    }
  }
  return out;
}

uint64_t SumOfPieces(std::span<const uint64_t> sums) { return FastHash(std::as_bytes(sums)); }

// body(i) for i in [0, n), a few pieces a worker at a time, `between` after each time.
template <typename Body>
void InBatches(nn::Team& team, int64_t n, const std::function<void()>& between, const Body& body) {
  const int64_t batch = 4 * team.size();
  for (int64_t from = 0; from < n; from += batch) {
    team.ParallelFor(std::min(batch, n - from), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) body(from + i);
    });
    if (between) between();
  }
}

uint64_t ContentOf(const PackedImage& image, nn::Team& team,
                   const std::function<void()>& between) {
  const auto pieces = Pieces(image.source_bytes);
  std::vector<uint64_t> sums(pieces.size());
  InBatches(team, static_cast<int64_t>(pieces.size()), between, [&](int64_t i) {
    sums[static_cast<size_t>(i)] = FastHash(pieces[static_cast<size_t>(i)]);
    image.source->DropPages(pieces[static_cast<size_t>(i)]);
  });
  return SumOfPieces(sums);
}

// Small pieces of the source from all over it, so that other weights of the same shape have another
// key. The content's hash, not this, decides whether the source is the same.
uint64_t SamplesOf(std::span<const std::span<const std::byte>> tensors) {
  uint64_t total = 0;
  for (const auto& tensor : tensors) total += tensor.size();
  uint64_t hash = total;
  uint64_t begin = 0;
  int sample = 0;
  for (const auto& tensor : tensors) {
    const uint64_t end = begin + tensor.size();
    for (; sample < kSamples; ++sample) {
      const uint64_t at = total / kSamples * static_cast<uint64_t>(sample);
      if (at >= end) break;
      const auto rest = tensor.subspan(static_cast<size_t>(at - begin));
      hash = FastHash(rest.first(std::min(rest.size(), kSampleBytes)), hash);
    }
    begin = end;
  }
  return hash;
}

// The files of a model, read once more in the background: by descriptor, so that nothing becomes
// resident and a file that is cut meanwhile is an error.
class SourceFiles {
 public:
  explicit SourceFiles(const format::ModelFile& model) : model_(model) {}

  // ContentOf, provided that the files are still those that were opened.
  Result<uint64_t> Content(const PackedImage& image, const std::stop_token& stop) {
    for (const MappedFile& mapped : model_.files()) {
      auto file = PlainFile::Open(mapped.path());
      RETURN_IF_ERROR(file.status());
      files_.push_back(*std::move(file));
    }
    RETURN_IF_ERROR(CheckUnchanged());  // before, so that nothing is read in vain, and after
    std::vector<std::byte> buffer(kPackedChunkBytes);
    std::vector<uint64_t> sums;
    for (const std::span<const std::byte> piece : Pieces(image.source_bytes)) {
      if (stop.stop_requested()) return Status(StatusCode::kAborted, "stopped");
      const auto read = Read(piece, buffer);
      RETURN_IF_ERROR(read.status());
      sums.push_back(FastHash(*read));
    }
    RETURN_IF_ERROR(CheckUnchanged());
    return SumOfPieces(sums);
  }
  void DropCached() const {
    for (const PlainFile& file : files_) file.DropCached();
  }

 private:
  Status CheckUnchanged() const {
    for (size_t i = 0; i < files_.size(); ++i) {
      const auto now = files_[i].identity();
      if (now.ok() && *now == model_.files()[i].identity()) continue;
      return FailedPrecondition(model_.files()[i].path() + " has changed since it was packed");
    }
    return OkStatus();
  }
  // The piece out of its file, or itself where it lies in none.
  Result<std::span<const std::byte>> Read(std::span<const std::byte> piece, std::span<std::byte> buffer) {
    for (size_t i = 0; i < files_.size(); ++i) {
      const std::span<const std::byte> all = model_.files()[i].bytes();
      if (piece.data() < all.data() || piece.data() >= all.data() + all.size()) continue;
      const auto into = buffer.first(piece.size());
      RETURN_IF_ERROR(files_[i].Read(static_cast<uint64_t>(piece.data() - all.data()), into));
      return std::span<const std::byte>(into);
    }
    return piece;
  }

  const format::ModelFile& model_;
  std::vector<PlainFile> files_;
};

class KeyText {
 public:
  void Add(std::string_view text) {
    AddNumber(static_cast<int64_t>(text.size()));
    stream_.Push(text);
  }
  void AddNumber(int64_t number) {
    stream_.Push({reinterpret_cast<const char*>(&number), sizeof number});
  }
  codec::Sha256Digest Finish() { return stream_.Finish(); }

 private:
  codec::Sha256Stream stream_;
};

// Only the first failure of a process is worth a line: the others have the same cause.
void WarnOnce(const Status& status) {
  static std::atomic<bool> warned{false};
  if (warned.exchange(true)) return;
  LogWarn("cache", "packed weights cannot be kept, the next start packs again: {}", status.message());
}

}  // namespace

PackedImage PackedCache::Describe(const WeightPlan& plan, const format::ModelFile& file) {
  PackedImage image;
  image.source = &file;
  image.head.layout_version = kernels::kPackedLayoutVersion;
  image.head.body_bytes = plan.packed_bytes();
  image.head.label = file.path();
  KeyText key;
  key.Add("pelton packed weights");
  key.AddNumber(kernels::kPackedLayoutVersion);
  uint64_t offset = 0;
  for (const WeightPlan::Section& section : plan.Sections()) {
    const kernels::PackedMatrix& m = section.matrix;
    key.Add(section.tensor->name);
    for (const int64_t number :
         {int64_t{static_cast<uint8_t>(section.tensor->dtype)}, int64_t{static_cast<uint8_t>(section.dtype)},
          int64_t{static_cast<uint8_t>(m.layout)}, int64_t{m.symmetric}, int64_t{m.zero_point},
          int64_t{m.group}, int64_t{m.n}, int64_t{m.k}, static_cast<int64_t>(section.bytes)}) {
      key.AddNumber(number);
    }
    image.head.sections.push_back({.offset = offset, .bytes = section.bytes, .post_scale = 1.f});
    image.source_bytes.push_back(section.source);
    offset += nn::WeightArena::Rounded(section.bytes);
  }
  key.AddNumber(static_cast<int64_t>(SamplesOf(image.source_bytes)));
  for (const auto& tensor : image.source_bytes) file.DropPages(tensor);  // reading ahead maps more
  image.head.key = key.Finish();
  image.head.identity.source = SourceIdentity(file);
  return image;
}

std::string PackedCache::PathOf(const format::PackedHead& head) const {
  return fmt::format("{}/{}{}", options_.folder, codec::EncodeHex(head.key).substr(0, 40), kSuffix);
}

bool PackedCache::Load(PackedImage& image, std::span<std::byte> arena, nn::Team& team,
                       const std::function<void()>& between) const {
  if (image.head.body_bytes < options_.model_bytes_min) return false;
  const std::string path = PathOf(image.head);
  const Status status = Read(path, image, arena, team, between);
  if (status.ok()) return true;
  if (IsMissing(status)) return false;
  LogWarn("cache", "{} is dropped and the model packed anew: {}", path, status.message());
  std::error_code error;
  fs::remove(path, error);
  return false;
}

Status PackedCache::Read(const std::string& path, PackedImage& image, std::span<std::byte> arena,
                         nn::Team& team, const std::function<void()>& between) const {
  auto file = OwnFile::Open(path);
  if (!file.ok()) return file.status();
  std::vector<std::byte> bytes(std::min<uint64_t>(format::kPackedPrefixBytes, file->bytes()));
  RETURN_IF_ERROR(file->Read(0, bytes));
  const auto head_bytes = format::PackedHeadBytes(bytes, file->bytes());
  RETURN_IF_ERROR(head_bytes.status());
  bytes.resize(static_cast<size_t>(*head_bytes));
  RETURN_IF_ERROR(file->Read(0, bytes));
  auto head = format::ParsePackedHead(bytes, file->bytes());
  RETURN_IF_ERROR(head.status());
  const format::PackedHead& want = image.head;
  const bool fits =
      head->layout_version == want.layout_version && head->key == want.key &&
      head->body_bytes == want.body_bytes && head->padded_body_bytes() <= arena.size() &&
      std::ranges::equal(head->sections, want.sections, [](const auto& a, const auto& b) {
        return a.offset == b.offset && a.bytes == b.bytes;
      });
  if (!fits) return FailedPrecondition("it holds other weights than its name says");
  const bool known = want.identity.source != 0 && head->identity == want.identity;
  if (!known && ContentOf(image, team, between) != head->content) {
    return FailedPrecondition("the model file has changed since");
  }
  std::atomic<bool> damaged{false};
  const auto chunks = static_cast<int64_t>(head->chunk_sums.size());
  InBatches(team, chunks, between, [&](int64_t i) {
    if (damaged.load(std::memory_order_relaxed)) return;
    const uint64_t at = static_cast<uint64_t>(i) * kPackedChunkBytes;
    const uint64_t size = std::min(kPackedChunkBytes, head->padded_body_bytes() - at);
    const auto chunk = arena.subspan(static_cast<size_t>(at), static_cast<size_t>(size));
    if (!file->ReadLarge(head->head_bytes + at, chunk).ok() ||
        FastHash(chunk) != head->chunk_sums[static_cast<size_t>(i)]) {
      damaged.store(true, std::memory_order_relaxed);
    }
  });
  if (damaged.load()) return DataLoss("its bytes do not have the sums that were written");
  if (!known && want.identity.source != 0) {  // the next start need not read all of the source
    (void)file->Patch(format::kPackedIdentityOffset, format::WritePackedIdentity(want.identity));
  }
  file->Touch();
  image.head = *std::move(head);
  return OkStatus();
}

Status PackedCache::Write(const PackedImage& image, std::stop_token stop) const {
  if (image.head.body_bytes < options_.model_bytes_min || image.head.body_bytes > options_.bytes_max) {
    return OutOfRange("weights of this size are not kept");
  }
  format::PackedHead head = image.head;
  const std::string path = PathOf(head);
  const auto write = [&]() -> Status {
    RETURN_IF_ERROR(MakePrivateFolder(options_.folder));
    const uint64_t chunks = (head.padded_body_bytes() + kPackedChunkBytes - 1) / kPackedChunkBytes;
    head.chunk_sums.assign(static_cast<size_t>(chunks), 0);
    const uint64_t head_bytes = format::WritePackedHead(head).size();
    RETURN_IF_ERROR(MakeRoom(head_bytes + head.padded_body_bytes(), path));
    auto file = PartialFile::Create(path);
    RETURN_IF_ERROR(file.status());
    for (uint64_t i = 0; i < chunks; ++i) {
      if (stop.stop_requested()) return Status(StatusCode::kAborted, "stopped");
      const uint64_t at = i * kPackedChunkBytes;
      const auto chunk = image.body.subspan(
          static_cast<size_t>(at), std::min<size_t>(kPackedChunkBytes, image.body.size() - at));
      head.chunk_sums[static_cast<size_t>(i)] = FastHash(chunk);
      RETURN_IF_ERROR(file->Write(head_bytes + at, chunk));
      file->Flush(head_bytes + at, chunk.size());
    }
    SourceFiles source(*image.source);
    const auto content = source.Content(image, stop);
    RETURN_IF_ERROR(content.status());
    head.content = *content;
    RETURN_IF_ERROR(file->Write(0, format::WritePackedHead(head)));
    RETURN_IF_ERROR(file->Commit());
    source.DropCached();
    return OkStatus();
  };
  const Status status = write();
  if (!status.ok() && status.code() != StatusCode::kAborted) WarnOnce(status);
  return status;
}

std::vector<PackedFileInfo> PackedCache::List() const {
  std::vector<PackedFileInfo> out;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(kSuffix)) continue;
    const auto identity = IdentityOf(path);
    if (!identity.ok()) continue;
    PackedFileInfo info{.path = path, .label = "", .bytes = identity->bytes,
                        .used_ns = identity->modified_ns};
    if (auto file = OwnFile::Open(path); file.ok() && file->bytes() >= format::kPackedPrefixBytes) {
      std::vector<std::byte> bytes(format::kPackedPrefixBytes);
      if (file->Read(0, bytes).ok()) {
        const auto head_bytes = format::PackedHeadBytes(bytes, file->bytes());
        bytes.resize(head_bytes.ok() ? static_cast<size_t>(*head_bytes) : 0);
        const bool read = head_bytes.ok() && file->Read(0, bytes).ok();
        if (auto head = format::ParsePackedHead(bytes, file->bytes()); read && head.ok()) {
          info.label = head->label;
        }
      }
    }
    out.push_back(std::move(info));
  }
  std::ranges::sort(out, [](const auto& a, const auto& b) { return a.used_ns > b.used_ns; });
  return out;
}

uint64_t PackedCache::Wipe() const {
  uint64_t bytes = 0;
  std::error_code error;
  for (const PackedFileInfo& file : List()) {
    if (fs::remove(file.path, error)) bytes += file.bytes;
  }
  return bytes;
}

// Removes what dead processes left, then the longest unused files until `bytes` more fit.
Status PackedCache::MakeRoom(uint64_t bytes, const std::string& kept) const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string path = entry.path().string();
    if (path.ends_with(std::string(kSuffix) + ".partial")) PartialFile::RemoveIfDead(path);
  }
  std::vector<PackedFileInfo> files = List();
  uint64_t total = bytes;
  for (const PackedFileInfo& file : files) total += file.path == kept ? 0 : file.bytes;
  while (total > options_.bytes_max && !files.empty()) {
    const PackedFileInfo& oldest = files.back();
    if (oldest.path != kept) {
      total -= oldest.bytes;
      LogInfo("cache", "{} makes room", oldest.path);
      fs::remove(oldest.path, error);
    }
    files.pop_back();
  }
  const uint64_t free_bytes = FreeBytesAt(options_.folder);
  if (free_bytes >= bytes + kFreeBytesMin) return OkStatus();
  return ResourceExhausted(fmt::format("{}: {} MiB free, {} MiB are needed", options_.folder,
                                       free_bytes >> 20, (bytes + kFreeBytesMin) >> 20));
}

}  // namespace pelton::models
