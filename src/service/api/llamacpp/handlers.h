// What llama.cpp's server has beside OpenAI's API.
#pragma once

#include "api/app.h"

namespace pelton::api::llamacpp {

void Completion(const Call& call);
void ApplyTemplate(const Call& call);  // a conversation → the text that the model gets
void Props(const Call& call);          // of the only model that is served

}  // namespace pelton::api::llamacpp
