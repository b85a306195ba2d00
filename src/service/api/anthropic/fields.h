// The fields of Anthropic's request bodies, as one table.
#pragma once

#include "api/fields.h"

namespace pelton::api::anthropic {

enum Endpoint : uint8_t { kMessages = 1, kCountTokens = 2 };

std::span<const FieldRow> FieldTable();

}  // namespace pelton::api::anthropic
