// The fields of /completion of llama.cpp's server, as one table.
#pragma once

#include "api/fields.h"

namespace pelton::api::llamacpp {

enum Endpoint : uint8_t { kCompletion = 1 };

std::span<const FieldRow> FieldTable();

}  // namespace pelton::api::llamacpp
