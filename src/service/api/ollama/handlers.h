// Ollama's API.
#pragma once

#include "api/app.h"

namespace pelton::api::ollama {

void Chat(const Call& call);
void Generate(const Call& call);

void Version(const Call& call);
void Tags(const Call& call);     // the models there are
void Running(const Call& call);  // those in memory (/api/ps)
void Show(const Call& call);     // one model
void Pull(const Call& call);     // says that a model is there already, or how to get it there

}  // namespace pelton::api::ollama
