#include <utility>

#include "backend/native/native_backend.h"
#include "models/model.h"

namespace pelton::backend {

Result<std::unique_ptr<Backend>> LoadNative(
    const std::string& path, const NativeOptions& options, const NativeRuntime& runtime,
    std::function<void(uint64_t done, uint64_t total)> progress) {
  auto opened = format::ModelFile::Open(path);
  if (!opened.ok()) return opened.status();
  NativeParts parts;
  parts.file = *std::move(opened);
  auto tokenizer = text::Tokenizer::FromMetadata(parts.file->metadata());
  if (!tokenizer.ok()) return tokenizer.status().Prefixed(path);
  parts.tokenizer = *std::move(tokenizer);
  auto chat_template =
      text::ChatTemplate::FromMetadata(parts.file->metadata(), *parts.tokenizer);
  if (!chat_template.ok()) return chat_template.status().Prefixed(path);
  parts.chat_template = *std::move(chat_template);
  auto model = models::LoadModel(
      *parts.file, {.table = &runtime.table, .progress = std::move(progress)}, runtime.team);
  if (!model.ok()) return model.status().Prefixed(path);
  auto engine = engine::Engine::Create(*std::move(model), parts.tokenizer, runtime.team,
                                       runtime.table, options.engine);
  if (!engine.ok()) return engine.status().Prefixed(path);
  parts.engine = *std::move(engine);
  return MakeNativeBackend(std::move(parts));
}

}  // namespace pelton::backend
