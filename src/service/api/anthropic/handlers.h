// Anthropic's Messages API.
#pragma once

#include "api/app.h"

namespace pelton::api::anthropic {

void Messages(const Call& call);
void CountTokens(const Call& call);

}  // namespace pelton::api::anthropic
