// What to ask of which server: the options of pelton-load, checked.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::load {

inline constexpr int kStreamsMax = 1024;
inline constexpr int kRequestsMax = 100'000;   // of one stream
inline constexpr int kTokensMax = 1 << 20;     // of a prompt, of an answer
inline constexpr size_t kFileBytesMax = 8 << 20;

struct Options {
  std::string url = "http://127.0.0.1:8080";
  std::string api = "completions";  // or "chat"
  std::string model;                // empty: not sent
  std::string key_file;             // its first line is sent as bearer token
  int streams = 1;
  int requests = 1;    // of each stream
  int warmup = 0;      // requests of each stream before those that count
  bool together = false;  // streams wait for one another before each request
  int prompt_tokens = 128;
  int prompt_period = 0;  // > 0: the prompt repeats after so many tokens
  int prompt_shared = 0;  // the first so many tokens are the same in all requests
  std::string prompt_file;  // a text instead of random tokens
  int output_tokens = 64;
  int token_low = 32, token_high = 127;  // random token ids, both inclusive
  uint64_t seed = 1;
  std::string extra;   // a JSON object; its members go into every body
  int timeout_s = 600;  // of the whole run
  bool allow_remote = false;
  bool json = false;
  bool help = false;
};

Result<Options> ParseArguments(std::span<const char* const> arguments);
std::string HelpText();

struct Target {
  sockaddr_storage address{};
  socklen_t address_bytes = 0;
  std::string host;  // as the Host field has it
  std::string path;  // of the completions
};

// "http://HOST[:PORT][/PREFIX]". PERMISSION_DENIED for a host that is not loopback, which is looked
// up only with allow_remote; INVALID_ARGUMENT for what is no such URL.
Result<Target> ResolveTarget(const Options& options);

// Everything that a request is made of. Immutable; Request(i) is a pure function of i.
class Plan {
 public:
  static Result<Plan> Make(const Options& options);

  const Options& options() const { return options_; }
  const Target& target() const { return target_; }
  std::string Request(uint64_t index) const;  // head and body
  std::string Body(uint64_t index) const;

 private:
  Options options_;
  Target target_;
  std::string bearer_;
  std::string text_;   // of prompt_file
  std::string extra_;  // ',"name":value…' or empty
};

}  // namespace pelton::load
