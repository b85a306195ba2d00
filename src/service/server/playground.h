// The playground: the page at / that a browser shows, and its parts below /assets/. They are built
// from web/ and lie in the program.
#pragma once

#include <optional>
#include <string_view>

#include "api/app.h"
#include "net/http.h"

namespace pelton::server {

// The routes "/" and "/assets/{file}".
void PlaygroundPage(const api::Call& call);
void PlaygroundAsset(const api::Call& call);

// The answer for a file of web/dist: 200, 304 when `if_none_match` names it, 404 when there is none.
net::Response PlaygroundFile(std::string_view path, std::optional<std::string_view> if_none_match);

}  // namespace pelton::server
