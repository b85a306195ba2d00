#include <utility>

#include "backend/native/native_backend.h"
#include "models/model.h"

namespace pelton::backend {
namespace {

// Vocabulary, merges and their indexes in memory, for a token; measured, rounded up (see
// docs/operating.md).
constexpr uint64_t kTextBytesPerToken = 600;

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
  auto text_hold = options.engine.memory.Take(
      "text", kTextBytesPerToken * static_cast<uint64_t>(parts.tokenizer->vocab_size()));
  if (!text_hold.ok()) return text_hold.status().Prefixed(path);
  parts.text_hold = *std::move(text_hold);
  auto chat_template =
      text::ChatTemplate::FromMetadata(parts.file->metadata(), *parts.tokenizer);
  if (!chat_template.ok()) return chat_template.status().Prefixed(path);
  parts.chat_template = *std::move(chat_template);
  auto model = models::LoadModel(
      *parts.file, {.table = &runtime.table, .memory = options.engine.memory,
                    .progress = std::move(progress)}, runtime.team);
  if (!model.ok()) return model.status().Prefixed(path);
  auto engine = engine::Engine::Create(*std::move(model), parts.tokenizer, runtime.team,
                                       runtime.table, options.engine);
  if (!engine.ok()) return engine.status().Prefixed(path);
  parts.engine = *std::move(engine);
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
