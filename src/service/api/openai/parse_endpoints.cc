#include <fmt/core.h>

#include <algorithm>

#include "api/openai/parse.h"

namespace pelton::api::openai {
namespace {

using codec::Json;

constexpr int kCompletionTokensDefault = 16;  // OpenAI's

// Of OpenAI's older form: "none" and "auto" ask for nothing that the model must do.
Status CheckFunctionCall(const Json& body) {
  const Json* value = Given(body, "function_call");
  if (value == nullptr) return OkStatus();
  const std::string* word = value->AsString();
  if (word != nullptr && (*word == "none" || *word == "auto")) return OkStatus();
  return BadField("function_call", "can only be none or auto: 'tools' and 'tool_choice' took its place");
}

Status CheckResponseFormat(const Json& body) {
  const Json* value = Given(body, "response_format");
  if (value == nullptr) return OkStatus();
  const Json* type = value->Find("type");
  if (type != nullptr && type->AsString() != nullptr && *type->AsString() == "text") {
    return OkStatus();
  }
  return BadField("response_format", "can only be {\"type\": \"text\"} on this server");
}

Status ReadChatLogprobs(const Json& body, ParsedRequest* out) {
  out->form.logprobs = GivenBool(body, "logprobs", false);
  const Json* top = Given(body, "top_logprobs");
  if (top != nullptr && !out->form.logprobs && *top->AsInt() > 0) {
    return BadField("top_logprobs", "needs 'logprobs': true");
  }
  if (out->form.logprobs) {
    out->request.sampling.top_logprobs = top == nullptr ? 0 : static_cast<int>(*top->AsInt());
  }
  return OkStatus();
}

Status ReadPrompts(const Json& body, std::vector<serving::Prompt>* prompts) {
  const Json* value = Given(body, "prompt");
  if (value == nullptr) return BadField("prompt", "is required");
  const bool add_special = GivenBool(body, "add_special_tokens", true);
  if (const std::string* text = value->AsString()) {
    prompts->push_back(serving::TextPrompt{*text, add_special});
    return OkStatus();
  }
  const Json::Array* array = value->AsArray();
  if (array == nullptr || array->empty()) {
    return BadField("prompt", "must be a text, an array of token ids, or an array of either");
  }
  if (array->front().is_number()) {
    auto ids = ReadTokenIds(*array, "prompt");
    if (!ids.ok()) return ids.status();
    prompts->push_back(*std::move(ids));
    return OkStatus();
  }
  if (array->size() > static_cast<size_t>(serving::kPromptsMax)) {
    return BadField("prompt", fmt::format("has {} prompts; at most {} are allowed", array->size(),
                                          serving::kPromptsMax));
  }
  for (const Json& item : *array) {
    if (const std::string* text = item.AsString()) {
      prompts->push_back(serving::TextPrompt{*text, add_special});
    } else if (item.AsArray() != nullptr) {
      auto ids = ReadTokenIds(*item.AsArray(), "prompt");
      if (!ids.ok()) return ids.status();
      prompts->push_back(*std::move(ids));
    } else {
      return BadField("prompt", "must be a text, an array of token ids, or an array of either");
    }
  }
  return OkStatus();
}

// Names that reading found (inside messages, stream_options) after the table's check.
Status RefuseIfStrict(bool strict, const AnswerForm& form) {
  if (!strict || form.ignored.empty()) return OkStatus();
  return BadField(form.ignored.front(), "has no effect on this server, and it is strict");
}

}  // namespace

Result<ParsedRequest> ParseChat(std::string_view text, bool strict) {
  Result<Json> body = ParseBody(text);
  if (!body.ok()) return body.status();
  ParsedRequest out;
  RETURN_IF_ERROR(CheckFields(*body, kChat, strict, &out.form.ignored));
  RETURN_IF_ERROR(ReadGeneration(*body, &out));
  RETURN_IF_ERROR(ReadToolWish(*body, &out.form.tools, &out.form.ignored));
  RETURN_IF_ERROR(CheckFunctionCall(*body));
  RETURN_IF_ERROR(CheckResponseFormat(*body));
  RETURN_IF_ERROR(ReadChatLogprobs(*body, &out));
  auto prompt = ReadChatPrompt(*body, &out.form.ignored);
  if (!prompt.ok()) return prompt.status();
  out.request.prompts.push_back(*std::move(prompt));
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.form));
  return out;
}

Result<ParsedRequest> ParseCompletion(std::string_view text, bool strict) {
  Result<Json> body = ParseBody(text);
  if (!body.ok()) return body.status();
  ParsedRequest out;
  RETURN_IF_ERROR(CheckFields(*body, kCompletions, strict, &out.form.ignored));
  RETURN_IF_ERROR(ReadGeneration(*body, &out));
  if (!out.request.max_tokens) out.request.max_tokens = kCompletionTokensDefault;
  if (const Json* top = Given(*body, "logprobs")) {
    out.form.logprobs = true;
    out.request.sampling.top_logprobs = static_cast<int>(*top->AsInt());
  }
  RETURN_IF_ERROR(ReadPrompts(*body, &out.request.prompts));
  const int sequences = static_cast<int>(out.request.prompts.size()) * out.request.n;
  if (sequences > serving::kSequencesOfRequestMax) {
    return BadField("n", fmt::format("times the number of prompts is {}; at most {} is allowed",
                                     sequences, serving::kSequencesOfRequestMax));
  }
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.form));
  return out;
}

Result<ParsedTokenize> ParseTokenize(std::string_view text, bool strict) {
  Result<Json> body = ParseBody(text);
  if (!body.ok()) return body.status();
  ParsedTokenize out;
  RETURN_IF_ERROR(CheckFields(*body, kTokenize, strict, &out.ignored));
  if (const Json* model = Given(*body, "model")) out.model = *model->AsString();
  out.parse_special = GivenBool(*body, "parse_special", false);
  const Json* content = Given(*body, "content");
  const Json* prompt = Given(*body, "prompt");
  const Json* messages = Given(*body, "messages");
  if ((content != nullptr) + (prompt != nullptr) + (messages != nullptr) != 1) {
    return BadField("prompt", "or 'content' or 'messages' is required, and only one of them");
  }
  if (content != nullptr) {
    out.llama_cpp = true;
    out.strings = GivenBool(*body, "with_pieces", false);
    out.prompt = serving::TextPrompt{*content->AsString(), GivenBool(*body, "add_special", false)};
    return out;
  }
  out.strings = GivenBool(*body, "return_token_strs", false);
  if (prompt != nullptr) {
    if (prompt->AsString() == nullptr) return BadField("prompt", "must be a string");
    out.prompt =
        serving::TextPrompt{*prompt->AsString(), GivenBool(*body, "add_special_tokens", true)};
    return out;
  }
  auto chat = ReadChatPrompt(*body, &out.ignored);
  if (!chat.ok()) return chat.status();
  turn::ToolWish tools;
  if (const Json* given = Given(*body, "tools")) RETURN_IF_ERROR(turn::ReadTools(*given, &tools, &out.ignored));
  chat->tools_json = std::move(tools.json);
  out.prompt = *std::move(chat);
  return out;
}

Result<ParsedDetokenize> ParseDetokenize(std::string_view text, bool strict) {
  Result<Json> body = ParseBody(text);
  if (!body.ok()) return body.status();
  ParsedDetokenize out;
  RETURN_IF_ERROR(CheckFields(*body, kDetokenize, strict, &out.ignored));
  if (const Json* model = Given(*body, "model")) out.model = *model->AsString();
  const Json* tokens = Given(*body, "tokens");
  if (tokens == nullptr) return BadField("tokens", "is required");
  auto ids = ReadTokenIds(*tokens->AsArray(), "tokens");
  if (!ids.ok()) return ids.status();
  out.tokens = *std::move(ids);
  return out;
}

}  // namespace pelton::api::openai
