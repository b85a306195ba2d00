// OpenAI's endpoints, and vLLM's and llama.cpp's /tokenize and /detokenize.
#pragma once

#include "api/app.h"

namespace pelton::api::openai {

void ChatCompletions(const Call& call);
void Completions(const Call& call);
void ListModels(const Call& call);
void GetModel(const Call& call);
void Tokenize(const Call& call);
void Detokenize(const Call& call);

}  // namespace pelton::api::openai
