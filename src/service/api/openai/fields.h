// The fields of OpenAI's request bodies, as one table. /openapi.json comes from it too.
#pragma once

#include "api/fields.h"

namespace pelton::api::openai {

enum Endpoint : uint8_t { kChat = 1, kCompletions = 2, kTokenize = 4, kDetokenize = 8 };

std::span<const FieldRow> FieldTable();
const FieldRow* FindField(Endpoint endpoint, std::string_view name);
Status CheckFields(const codec::Json& body, Endpoint endpoint, bool strict,
                   std::vector<std::string>* ignored);

using api::BadField;
using api::Effect;
using api::FieldKind;
using api::FieldRow;
using api::Given;
using api::GivenBool;
using api::IgnoredHeader;

}  // namespace pelton::api::openai
