#include "load/plan.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/random.h"
#include "codec/json.h"
#include "codec/json_write.h"

namespace pelton::load {
namespace {

struct NumberOption {
  std::string_view name;
  int Options::* field;
  int low, high;
  std::string_view help;
};
constexpr std::array<NumberOption, 8> kNumbers = {{
    {"--streams", &Options::streams, 1, kStreamsMax, "requests under way at once"},
    {"--requests", &Options::requests, 1, kRequestsMax, "of each stream, one after the other"},
    {"--warmup", &Options::warmup, 0, kRequestsMax, "of each stream before those that count"},
    {"--prompt-tokens", &Options::prompt_tokens, 1, kTokensMax, "random tokens of a prompt"},
    {"--prompt-period", &Options::prompt_period, 0, kTokensMax, "the prompt repeats after so many"},
    {"--prompt-shared", &Options::prompt_shared, 0, kTokensMax,
     "the first so many are always the same"},
    {"--output-tokens", &Options::output_tokens, 1, kTokensMax, "of an answer; ends are ignored"},
    {"--timeout-s", &Options::timeout_s, 1, 86'400, "seconds for everything"},
}};

struct TextOption {
  std::string_view name;
  std::string Options::* field;
  std::string_view value, help;
};
constexpr std::array<TextOption, 6> kTexts = {{
    {"--url", &Options::url, "URL", "http://HOST[:PORT]; only this machine without --allow-remote"},
    {"--api", &Options::api, "NAME", "completions (token ids) or chat (words)"},
    {"--model", &Options::model, "NAME", "sent as \"model\"; left out by default"},
    {"--key-file", &Options::key_file, "FILE", "its first line goes into Authorization"},
    {"--prompt-file", &Options::prompt_file, "FILE", "a text as prompt instead of random tokens"},
    {"--extra", &Options::extra, "JSON", "an object whose members go into every body"},
}};

struct SwitchOption {
  std::string_view name;
  bool Options::* field;
  std::string_view help;
};
constexpr std::array<SwitchOption, 4> kSwitches = {{
    {"--together", &Options::together, "streams wait for one another before each request"},
    {"--allow-remote", &Options::allow_remote, "the server may be another machine"},
    {"--json", &Options::json, "print one JSON object"},
    {"--help", &Options::help, ""},
}};

// Words of about one token each in the usual vocabularies.
constexpr std::array<std::string_view, 32> kWords = {
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
    "school", "state", "family", "student", "group", "country", "problem", "hand", "part", "place",
    "case", "week", "company", "system", "program", "question", "work", "government", "number",
    "night", "point"};

template <typename T>
bool ReadWhole(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

Status SetNumber(const NumberOption& option, std::string_view value, Options* options) {
  int number = 0;
  if (!ReadWhole(value, &number) || number < option.low || number > option.high) {
    return InvalidArgument(fmt::format("{} is a whole number from {} to {}, not {}", option.name,
                                       option.low, option.high, value));
  }
  options->*option.field = number;
  return OkStatus();
}

Status SetTokenRange(std::string_view value, Options* options) {
  const size_t dash = value.find('-');
  int low = 0, high = 0;
  if (dash == std::string_view::npos || !ReadWhole(value.substr(0, dash), &low) ||
      !ReadWhole(value.substr(dash + 1), &high) || low < 0 || high < low) {
    return InvalidArgument(fmt::format("--token-range is LOW-HIGH, not {}", value));
  }
  options->token_low = low;
  options->token_high = high;
  return OkStatus();
}

Status SetValue(std::string_view name, std::string_view value, Options* options) {
  for (const NumberOption& option : kNumbers) {
    if (option.name == name) return SetNumber(option, value, options);
  }
  for (const TextOption& option : kTexts) {
    if (option.name != name) continue;
    options->*option.field = std::string(value);
    return OkStatus();
  }
  if (name == "--token-range") return SetTokenRange(value, options);
  if (name == "--seed") {
    if (ReadWhole(value, &options->seed)) return OkStatus();
    return InvalidArgument(fmt::format("--seed is a whole number, not {}", value));
  }
  return InvalidArgument(fmt::format("unknown option {} (see --help)", name));
}

Status CheckOptions(const Options& options) {
  if (options.api != "completions" && options.api != "chat") {
    return InvalidArgument(fmt::format("--api is completions or chat, not {}", options.api));
  }
  if (options.prompt_shared > options.prompt_tokens) {
    return InvalidArgument("--prompt-shared is more than --prompt-tokens");
  }
  return OkStatus();
}

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound(fmt::format("{} cannot be read", path));
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax) {
    return ResourceExhausted(fmt::format("{} is larger than {} bytes", path, kFileBytesMax));
  }
  return text;
}

// Fills `target` when `host` is an address; false when it is a name.
bool SetAddress(const std::string& host, uint16_t port, Target* target) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&target->address);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    target->address_bytes = sizeof(sockaddr_in);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&target->address);
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    target->address_bytes = sizeof(sockaddr_in6);
    return true;
  }
  return false;
}

bool IsLoopback(const Target& target) {
  if (target.address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&target.address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&target.address)->sin6_addr);
}

Status LookUp(const std::string& host, uint16_t port, Target* target) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return NotFound(fmt::format("{}: {}", host, gai_strerror(error)));
  std::memcpy(&target->address, found->ai_addr, found->ai_addrlen);
  target->address_bytes = found->ai_addrlen;
  freeaddrinfo(found);
  return OkStatus();
}

struct UrlParts {
  std::string host;    // without brackets
  std::string shown;   // as written, with the port
  std::string prefix;  // without a slash at its end
  uint16_t port = 80;
};

Result<UrlParts> SplitUrl(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const auto refuse = [&] {
    return InvalidArgument(fmt::format("--url is http://HOST[:PORT][/PREFIX], not {}", url));
  };
  const bool clean = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  if (!clean || !url.starts_with(kScheme)) return refuse();
  const std::string_view rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  UrlParts parts;
  parts.shown = authority;
  parts.prefix = rest.substr(slash);
  while (parts.prefix.ends_with('/')) parts.prefix.pop_back();
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string_view host = authority.substr(0, colon);
  if (colon != std::string_view::npos &&
      (!ReadWhole(authority.substr(colon + 1), &parts.port) || parts.port == 0)) {
    return refuse();
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  parts.host = host;
  if (parts.host.empty() || parts.host.find('@') != std::string::npos) return refuse();
  return parts;
}

}  // namespace

std::string HelpText() {
  std::string text =
      "usage: pelton-load [OPTIONS]\n\nConcurrent streams of completions from a server that speaks "
      "OpenAI's API, and what a client sees\nof them.\n\n";
  for (const TextOption& option : kTexts) {
    text +=
        fmt::format("  {:<22} {}\n", fmt::format("{} {}", option.name, option.value), option.help);
  }
  const Options defaults;
  for (const NumberOption& option : kNumbers) {
    text += fmt::format("  {:<22} {} (default {})\n", fmt::format("{} N", option.name), option.help,
                        defaults.*option.field);
  }
  text += fmt::format("  {:<22} ids of random tokens (default {}-{})\n", "--token-range LOW-HIGH",
                      defaults.token_low, defaults.token_high);
  text +=
      fmt::format("  {:<22} same seed, same requests (default {})\n", "--seed N", defaults.seed);
  for (const SwitchOption& option : kSwitches) {
    if (!option.help.empty()) text += fmt::format("  {:<22} {}\n", option.name, option.help);
  }
  return text;
}

Result<Options> ParseArguments(std::span<const char* const> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    const auto* flag = std::find_if(kSwitches.begin(), kSwitches.end(),
                                    [&](const SwitchOption& s) { return s.name == name; });
    if (flag != kSwitches.end()) {
      options.*flag->field = true;
      continue;
    }
    if (i + 1 >= arguments.size()) {
      return InvalidArgument(fmt::format("{} is unknown or lacks its value (see --help)", name));
    }
    RETURN_IF_ERROR(SetValue(name, arguments[++i], &options));
  }
  RETURN_IF_ERROR(CheckOptions(options));
  return options;
}

Result<Target> ResolveTarget(const Options& options) {
  const auto parts = SplitUrl(options.url);
  if (!parts.ok()) return parts.status();
  Target target;
  target.host = parts->shown;
  target.path =
      parts->prefix + (options.api == "chat" ? "/v1/chat/completions" : "/v1/completions");
  const std::string host = parts->host == "localhost" ? "127.0.0.1" : parts->host;
  if (!SetAddress(host, parts->port, &target)) {
    if (!options.allow_remote) {
      return PermissionDenied(fmt::format(
          "{} is not this machine; a load on another needs --allow-remote", parts->host));
    }
    RETURN_IF_ERROR(LookUp(host, parts->port, &target));
  }
  if (!options.allow_remote && !IsLoopback(target)) {
    return PermissionDenied(
        fmt::format("{} is not a loopback address; a load on another machine needs --allow-remote",
                    parts->host));
  }
  return target;
}

Result<Plan> Plan::Make(const Options& options) {
  Plan plan;
  plan.options_ = options;
  auto target = ResolveTarget(options);
  if (!target.ok()) return target.status();
  plan.target_ = *std::move(target);
  if (!options.prompt_file.empty()) {
    auto text = ReadFile(options.prompt_file);
    if (!text.ok()) return text.status();
    plan.text_ = *std::move(text);
  }
  if (!options.key_file.empty()) {
    const auto text = ReadFile(options.key_file);
    if (!text.ok()) return text.status();
    plan.bearer_ = text->substr(0, text->find_first_of("\r\n"));
  }
  if (!options.extra.empty()) {
    const auto json = codec::ParseJson(options.extra);
    if (!json.ok()) return json.status().Prefixed("--extra");
    const codec::Json::Object* members = json->AsObject();
    if (members == nullptr) return InvalidArgument("--extra must be a JSON object");
    for (const auto& [name, value] : *members) {
      plan.extra_ += ',';
      codec::AppendJsonString(name, &plan.extra_);
      plan.extra_ += ':';
      codec::AppendJson(value, &plan.extra_);
    }
  }
  return plan;
}

std::string Plan::Body(uint64_t index) const {
  // Token i of request `index`, or of all requests in the shared part.
  const auto draw = [&](int i, uint64_t below) {
    if (options_.prompt_period > 0) i %= options_.prompt_period;
    const uint64_t request =
        i < options_.prompt_shared ? std::numeric_limits<uint64_t>::max() : index;
    return Mix64(Mix64(options_.seed ^ Mix64(request)) + static_cast<uint64_t>(i)) % below;
  };
  std::string prompt;
  const bool chat = options_.api == "chat";
  if (!text_.empty()) {
    codec::AppendJsonString(text_, &prompt);
  } else if (chat) {
    std::string words;
    for (int i = 0; i < options_.prompt_tokens; ++i) {
      words += (i == 0 ? "" : " ") + std::string(kWords[draw(i, kWords.size())]);
    }
    codec::AppendJsonString(words, &prompt);
  } else {
    const auto ids = static_cast<uint64_t>(options_.token_high - options_.token_low) + 1;
    for (int i = 0; i < options_.prompt_tokens; ++i) {
      prompt += fmt::format("{}{}", i == 0 ? "[" : ",",
                            static_cast<uint64_t>(options_.token_low) + draw(i, ids));
    }
    prompt += ']';
  }
  std::string body = chat ? R"({"messages":[{"role":"user","content":)" + prompt + "}]"
                          : R"({"prompt":)" + prompt;
  if (!options_.model.empty()) {
    body += R"(,"model":)";
    codec::AppendJsonString(options_.model, &body);
  }
  body += fmt::format(R"(,"max_tokens":{},"temperature":0,"ignore_eos":true,"stream":true,)"
                      R"("stream_options":{{"include_usage":true}})",
                      options_.output_tokens);
  return body + extra_ + "}";
}

std::string Plan::Request(uint64_t index) const {
  const std::string body = Body(index);
  std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: "
      "text/event-stream\r\n"
      "Connection: close\r\nContent-Length: {}\r\n",
      target_.path, target_.host, body.size());
  if (!bearer_.empty()) head += fmt::format("Authorization: Bearer {}\r\n", bearer_);
  return head + "\r\n" + body;
}

}  // namespace pelton::load
