#include "load/delta.h"

#include <fmt/format.h>

#include "codec/json.h"

namespace pelton::load {
namespace {

using codec::Json;

constexpr size_t kTextShownMax = 200;
constexpr codec::JsonLimits kLimits{.depth_max = 32, .bytes_max = 8u << 20, .values_max = 100'000};

bool HasText(const Json* value) {
  const std::string* text = value == nullptr ? nullptr : value->AsString();
  return text != nullptr && !text->empty();
}

bool CarriesText(const Json& choice) {
  if (HasText(choice.Find("text"))) return true;
  const Json* delta = choice.Find("delta");
  return delta != nullptr && (HasText(delta->Find("content")) ||
                              HasText(delta->Find("reasoning_content")));
}

std::optional<int64_t> Count(const Json& usage, std::string_view name) {
  const Json* value = usage.Find(name);
  const auto count = value == nullptr ? std::nullopt : value->AsInt();
  return count && *count >= 0 ? count : std::nullopt;
}

// Null when there is no {"error": {"message": "…"}} or {"error": "…"}.
const std::string* ErrorMessage(const Json& json) {
  const Json* error = json.Find("error");
  if (error == nullptr) return nullptr;
  if (const Json* message = error->Find("message")) return message->AsString();
  return error->AsString();
}

std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kTextShownMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

}  // namespace

Result<Delta> ReadDelta(std::string_view data) {
  Delta delta;
  if (data == "[DONE]") {
    delta.done = true;
    return delta;
  }
  auto json = codec::ParseJson(data, kLimits);
  if (!json.ok()) return json.status();
  if (json->AsObject() == nullptr) return InvalidArgument("an event that is no JSON object");
  if (const std::string* message = ErrorMessage(*json)) {
    return Unavailable(message->empty() ? "an error without a message" : Printable(*message));
  }
  const Json* choices = json->Find("choices");
  if (choices == nullptr || choices->AsArray() == nullptr) {
    return InvalidArgument("an event without choices");
  }
  for (const Json& choice : *choices->AsArray()) delta.text = delta.text || CarriesText(choice);
  if (const Json* usage = json->Find("usage")) {
    delta.prompt_tokens = Count(*usage, "prompt_tokens");
    delta.completion_tokens = Count(*usage, "completion_tokens");
  }
  return delta;
}

std::string ErrorText(std::string_view body) {
  const auto json = codec::ParseJson(body, kLimits);
  const std::string* message = json.ok() ? ErrorMessage(*json) : nullptr;
  return Printable(message == nullptr ? body : std::string_view(*message));
}

}  // namespace pelton::load
