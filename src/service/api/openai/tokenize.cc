#include <fmt/core.h>

#include <utility>

#include "api/openai/handlers.h"
#include "api/openai/parse.h"
#include "api/status_map.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

namespace pelton::api::openai {
namespace {

using backend::Backend;
using backend::TokenId;

Result<std::vector<TokenId>> Encode(const ParsedTokenize& parsed, const Backend& backend) {
  if (const auto* chat = std::get_if<backend::ChatPrompt>(&parsed.prompt)) {
    return backend.ChatTokens(*chat);
  }
  const auto& text = std::get<serving::TextPrompt>(parsed.prompt);
  return backend.Tokenize(text.text, {.add_special = text.add_special,
                                      .parse_special = parsed.parse_special});
}

// llama.cpp: ids, or with_pieces {"id":…,"piece":text or array of bytes}.
std::string LlamaCppBody(std::span<const TokenId> ids, bool pieces, const Backend& backend) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("tokens").Array();
  for (const TokenId id : ids) {
    if (!pieces) {
      w.Value(id);
      continue;
    }
    const std::string piece = backend.TokenPiece(id);
    w.Object().Key("id").Value(id).Key("piece");
    if (codec::ValidUtf8(piece)) {
      w.Value(piece);
    } else {
      w.Array();
      for (const char c : piece) w.Value(static_cast<int>(static_cast<unsigned char>(c)));
      w.End();
    }
    w.End();
  }
  w.End().End();
  return body;
}

std::string VllmBody(std::span<const TokenId> ids, bool strings, const Backend& backend) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("count").Value(ids.size());
  w.Key("max_model_len").Value(backend.facts().context).Key("tokens").Array();
  for (const TokenId id : ids) w.Value(id);
  w.End().Key("token_strs");
  if (strings) {
    w.Array();
    for (const TokenId id : ids) w.Value(backend.TokenPiece(id));
    w.End();
  } else {
    w.Null();
  }
  w.End();
  return body;
}

net::Response With(std::string body, const std::vector<std::string>& ignored) {
  net::Response response = JsonResponse(std::move(body));
  if (const std::string names = IgnoredHeader(ignored); !names.empty()) {
    response.headers.Add("x-pelton-ignored", names);
  }
  return response;
}

Result<net::Response> TokenizeAnswer(const Call& call) {
  auto parsed = ParseTokenize(call.exchange->body(), call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  auto model = call.app.service.catalogue().Find(parsed->model);
  if (!model.ok()) return model.status();
  const Backend& backend = *(*model)->backend;
  auto ids = Encode(*parsed, backend);
  if (!ids.ok()) return ids.status();
  return With(parsed->llama_cpp ? LlamaCppBody(*ids, parsed->strings, backend)
                                : VllmBody(*ids, parsed->strings, backend), parsed->ignored);
}

Result<net::Response> DetokenizeAnswer(const Call& call) {
  auto parsed = ParseDetokenize(call.exchange->body(), call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  auto model = call.app.service.catalogue().Find(parsed->model);
  if (!model.ok()) return model.status();
  const Backend& backend = *(*model)->backend;
  for (const TokenId id : parsed->tokens) {
    if (id < backend.facts().vocab_size) continue;
    return BadField("tokens", fmt::format("has id {}, outside the vocabulary (0 to {})", id,
                                          backend.facts().vocab_size - 1));
  }
  const std::string text = backend.Detokenize(parsed->tokens, /*special=*/true);
  std::string body;
  codec::JsonWriter w(&body);
  // vLLM calls it prompt, llama.cpp content; the requests cannot be told apart.
  w.Object().Key("prompt").Value(text).Key("content").Value(text).End();
  return With(std::move(body), parsed->ignored);
}

void OnPrepThread(const Call& call, Result<net::Response> (*answer)(const Call&)) {
  const bool queued = call.app.service.prep().TryRun([call, answer] {
    Result<net::Response> response = answer(call);
    call.exchange->Respond(response.ok() ? *std::move(response)
                                         : ErrorResponse(response.status()));
  });
  if (queued) return;
  call.exchange->Respond(ErrorResponse(
      Unavailable("too many requests are waiting to be read").WithRetryAfter(1000)));
}

}  // namespace

void Tokenize(const Call& call) { OnPrepThread(call, TokenizeAnswer); }

void Detokenize(const Call& call) { OnPrepThread(call, DetokenizeAnswer); }

}  // namespace pelton::api::openai
