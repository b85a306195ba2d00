// Between the engine's types and the backend interface's. Pure.
#pragma once

#include "backend/backend.h"
#include "engine/engine.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace pelton::backend {

engine::EngineRequest ToEngine(engine::RequestId id, SequenceRequest&& request);
Delta FromEngine(engine::Delta&& delta, const text::Tokenizer& tokenizer);
text::ChatTemplateInput ToText(const ChatPrompt& prompt);
Facts FactsOf(const engine::Engine& engine, const text::ChatTemplate& chat_template);

}  // namespace pelton::backend
