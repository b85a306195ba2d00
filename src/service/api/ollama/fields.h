// The fields of Ollama's request bodies, as one table.
#pragma once

#include "api/fields.h"

namespace pelton::api::ollama {

enum Endpoint : uint8_t { kChat = 1, kGenerate = 2, kOptions = 4, kShow = 8, kPull = 16 };

std::span<const FieldRow> FieldTable();

}  // namespace pelton::api::ollama
