#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "backend/native/fingerprint.h"
#include "backend/native/native_backend.h"
#include "base/background.h"
#include "base/log.h"
#include "base/thread.h"
#include "models/model.h"
#include "models/packed_cache.h"

namespace pelton::backend {
namespace {

constexpr auto kSettle = std::chrono::seconds(2);  // after loading: starting up is nearly done then

std::optional<models::PackedCache> CacheOf(const NativeOptions& options) {
  if (options.packed_cache.empty() || options.packed_cache == "off") return std::nullopt;
  return models::PackedCache({.folder = options.packed_cache,
                              .bytes_max = static_cast<uint64_t>(options.packed_cache_bytes_max)});
}

std::optional<tensor::DType> QuantizeTo(const std::string& option) {
  if (option == "q8_0") return tensor::DType::kQ8_0;
  if (option == "q4_1") return tensor::DType::kQ4_1;
  if (option == "q4_0") return tensor::DType::kQ4_0;
  return std::nullopt;
}

// Keeps the weights for the next start, behind everything else that runs. `image` is the model's.
std::jthread WritePacked(models::PackedCache cache, const models::PackedImage& image) {
  return StartThread("packed", [cache = std::move(cache), &image](std::stop_token stop) {
    LowerCurrentThread();
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    stopped.wait_for(lock, stop, kSettle, [] { return false; });
    if (stop.stop_requested()) return;
    if (!cache.Write(image, stop).ok()) return;  // the cache has said why
    LogInfo("cache", "packed weights are kept in {}", cache.PathOf(image.head));
  });
}

// Vocabulary, merges and their indexes in memory, for a token: 510 bytes with merges (SmolLM2) and
// 90 without (Gemma 3) when measured, rounded up.
constexpr uint64_t kTextBytesPerToken = 150;
constexpr uint64_t kTextBytesPerTokenWithMerges = 600;

uint64_t TextBytes(const format::ModelFile& file, const text::Tokenizer& tokenizer) {
  const auto kind = file.metadata().StringOr("tokenizer.ggml.model", "");
  const bool merges = kind.ok() && *kind == "gpt2";
  return (merges ? kTextBytesPerTokenWithMerges : kTextBytesPerToken) *
         static_cast<uint64_t>(tokenizer.vocab_size());
}

// A refusal for want of memory has the numbers; what would change them is said here, once.
Status WithAdvice(Status status) {
  if (status.code() != StatusCode::kResourceExhausted) return status;
  return {status.code(), status.message() + "; what helps: a larger --memory, a smaller --ctx, "
                                            "fewer --max-running, a smaller model or one less"};
}

Result<std::unique_ptr<Backend>> Load(
    const std::string& path, const NativeOptions& options, const NativeRuntime& runtime,
    std::function<void(uint64_t done, uint64_t total)> progress) {
  auto opened = format::ModelFile::Open(path);
  if (!opened.ok()) return opened.status();
  NativeParts parts;
  parts.file = *std::move(opened);
  auto tokenizer = text::Tokenizer::FromMetadata(parts.file->metadata());
  if (!tokenizer.ok()) return tokenizer.status().Prefixed(path);
  parts.tokenizer = *std::move(tokenizer);
  auto text_hold =
      options.engine.memory.Take("text", TextBytes(*parts.file, *parts.tokenizer));
  if (!text_hold.ok()) return text_hold.status().Prefixed(path);
  parts.text_hold = *std::move(text_hold);
  auto chat_template =
      text::ChatTemplate::FromMetadata(parts.file->metadata(), *parts.tokenizer);
  if (!chat_template.ok()) return chat_template.status().Prefixed(path);
  parts.chat_template = *std::move(chat_template);
  auto cache = CacheOf(options);
  auto model = models::LoadModel(*parts.file,
                                 {.table = &runtime.table, .memory = options.engine.memory,
                                  .progress = std::move(progress),
                                  .packed = cache ? &*cache : nullptr,
                                  .quantize = QuantizeTo(options.quantize),
                                  .batch_invariant = options.batch_invariant == "on"},
                                 runtime.team);
  if (!model.ok()) return model.status().Prefixed(path);
  const models::PackedImage* image = (*model)->packed_image();
  engine::EngineOptions engine_options = options.engine;
  if (engine_options.prefix_disk != nullptr) {
    engine_options.prefix_scope = FingerprintOf(*parts.file);
  }
  auto engine = engine::Engine::Create(*std::move(model), parts.tokenizer, runtime.team,
                                       runtime.table, engine_options);
  if (!engine.ok()) return engine.status().Prefixed(path);
  parts.engine = *std::move(engine);
  if (image != nullptr) parts.packed_writer = WritePacked(*std::move(cache), *image);
  return MakeNativeBackend(std::move(parts));
}

}  // namespace

Result<std::unique_ptr<Backend>> LoadNative(
    const std::string& path, const NativeOptions& options, const NativeRuntime& runtime,
    std::function<void(uint64_t done, uint64_t total)> progress) {
  auto loaded = Load(path, options, runtime, std::move(progress));
  if (!loaded.ok()) return WithAdvice(loaded.status());
  return loaded;
}

}  // namespace pelton::backend
