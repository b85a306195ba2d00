// Ollama's names of models, which have tags.
#pragma once

#include <string>
#include <string_view>

#include "serving/catalogue.h"

namespace pelton::api::ollama {

// The catalogue's name for what a client asks: itself, without :latest, or with it. As asked when the
// catalogue has none of these.
std::string NameIn(const serving::Catalogue& catalogue, std::string_view asked);
// As clients list it: with a tag.
std::string WithTag(std::string_view name);

}  // namespace pelton::api::ollama
