// Bodies of every endpoint → requests, and on to sequences of a simulated model. The first byte
// chooses endpoint and strictness. What is accepted must keep every bound that the table and
// serving/request.h promise; what is refused must be one of the client's errors.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/anthropic/parse.h"
#include "api/llamacpp/parse.h"
#include "api/ollama/parse.h"
#include "api/openai/parse.h"
#include "api/status_map.h"
#include "backend/sim/sim_backend.h"
#include "serving/prepare.h"

namespace {

using namespace pelton;

void Require(bool condition) {
  if (!condition) std::abort();
}

// The text side alone: nothing is submitted, so the backend's thread stays asleep.
const backend::Backend& Model() {
  static const auto model = backend::MakeSimBackend({.context = 512}).release();
  return *model;
}

void CheckRefusal(const Status& status) {
  const int http = api::LookOf(status).http;
  Require(http >= 400 && http < 500);
  Require(codec::ParseJson(api::ErrorBody(status)).ok());
}

void CheckSequence(const backend::SequenceRequest& s) {
  Require(!s.prompt.empty() && s.prompt.size() < 512);
  for (const backend::TokenId id : s.prompt) Require(id >= 0 && id < Model().facts().vocab_size);
  Require(s.max_tokens >= 1 && s.prompt.size() + static_cast<size_t>(s.max_tokens) <= 512);
  Require(s.temperature == 0.f || (s.temperature >= 1e-5f && s.temperature <= 2.f));
  Require(s.top_p > 0.f && s.top_p <= 1.f);
  Require(s.min_p >= 0.f && s.min_p < 1.f);
  Require(s.typical_p > 0.f && s.typical_p <= 1.f);
  Require(s.repetition_penalty > 0.f && std::isfinite(s.repetition_penalty));
  Require(std::abs(s.frequency_penalty) <= 2.f && std::abs(s.presence_penalty) <= 2.f);
  Require(s.top_k >= 0 && s.top_logprobs >= -1 && s.top_logprobs <= serving::kTopLogprobsMax);
  Require(s.stop.size() <= static_cast<size_t>(serving::kStopsMax));
  for (const std::string& stop : s.stop) {
    Require(!stop.empty() && stop.size() <= serving::kStopBytesMax);
  }
  for (const auto& [id, bias] : s.logit_bias) {
    Require(id >= 0 && id < Model().facts().vocab_size && std::abs(bias) <= 100.f);
  }
}

void CheckGenerate(const Result<api::openai::ParsedRequest>& parsed) {
  if (!parsed.ok()) return CheckRefusal(parsed.status());
  const serving::GenerateRequest& request = parsed->request;
  Require(request.n >= 1 && request.n <= serving::kChoicesMax);
  Require(std::abs(request.priority) <= serving::kPriorityMax);
  Require(parsed->timeout_s >= 0 && parsed->timeout_s <= serving::kTimeoutMaxS);
  const auto sequences = serving::Prepare(request, Model());
  if (!sequences.ok()) return CheckRefusal(sequences.status());
  Require(sequences->size() == request.prompts.size() * static_cast<size_t>(request.n));
  Require(sequences->size() <= static_cast<size_t>(serving::kSequencesOfRequestMax));
  for (const auto& sequence : *sequences) CheckSequence(sequence);
  const std::string header = api::openai::IgnoredHeader(parsed->form.ignored);
  for (const char c : header) Require(c >= ' ' && c <= '~');
}

// A request without a prompt wants its model loaded or unloaded.
void CheckOllama(const Result<api::ParsedRequest>& parsed) {
  if (parsed.ok()) {
    Require(!parsed->request.model.empty() && parsed->request.prompts.size() <= 1);
    Require(parsed->request.prompts.empty() || !parsed->form.unload);
    Require(!parsed->request.prompts.empty() || !parsed->form.stream);
  }
  CheckGenerate(parsed);
}

void FuzzOllama(uint8_t choice, std::string_view body, bool strict) {
  switch (choice & 3) {
    case 0: return CheckOllama(api::ollama::ParseChat(body, strict));
    case 1: return CheckOllama(api::ollama::ParseGenerate(body, strict));
    default: {
      const auto endpoint = (choice & 3) == 2 ? api::ollama::kShow : api::ollama::kPull;
      const auto parsed = api::ollama::ParseName(body, endpoint, strict);
      parsed.ok() ? Require(!parsed->model.empty()) : CheckRefusal(parsed.status());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool strict = (data[0] & 4) != 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 0xC0) == 0xC0) {
    FuzzOllama(data[0], body, strict);
    return 0;
  }
  if ((data[0] & 0x80) != 0) {  // Anthropic's API
    if ((data[0] & 2) != 0) {  // llama.cpp's, beside it
      CheckGenerate(api::llamacpp::ParseCompletion(body, strict));
    } else if ((data[0] & 1) == 0) {
      CheckGenerate(api::anthropic::ParseMessages(body, strict));
    } else if (const auto parsed = api::anthropic::ParseCount(body, strict); !parsed.ok()) {
      CheckRefusal(parsed.status());
    }
    return 0;
  }
  switch (data[0] & 3) {
    case 0: CheckGenerate(api::openai::ParseChat(body, strict)); break;
    case 1: CheckGenerate(api::openai::ParseCompletion(body, strict)); break;
    case 2: {
      const auto parsed = api::openai::ParseTokenize(body, strict);
      if (!parsed.ok()) CheckRefusal(parsed.status());
      break;
    }
    default: {
      const auto parsed = api::openai::ParseDetokenize(body, strict);
      if (!parsed.ok()) {
        CheckRefusal(parsed.status());
        break;
      }
      for (const backend::TokenId id : parsed->tokens) Require(id >= 0);
    }
  }
  return 0;
}
