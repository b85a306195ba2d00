// One sequence's tokens on their way out: bytes → valid UTF-8 → stop strings. Text that may begin a
// stop string stays inside until it cannot, so stops are exact however tokens cut the text.
// Owned by the engine thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/stop_strings.h"
#include "text/tokenizer.h"

namespace pelton::engine {

struct OutputOptions {
  bool include_stop_in_text = false;
  bool special_tokens_in_text = false;
  bool tokens_wait_for_text = false;  // with logprobs
};

class OutputText {
 public:
  OutputText(const text::Tokenizer& tokenizer, std::vector<std::string> stop,  // none empty
             OutputOptions options);

  // Adds to delta what `token` lets out. True when a stop string is complete: text ends before it
  // (or with it), all tokens are out, stop_match is set, and only destruction may follow. Of several
  // stop strings the one complete first counts, of those the longest; so the answer does not depend
  // on where tokens end.
  bool Push(TokenOut token, Delta* delta);
  // The token that ends a turn: out, without text.
  void PushEnd(TokenOut token, Delta* delta);
  // Lets everything out. True when the very end completed a stop string (as Push).
  bool Finish(Delta* delta);

 private:
  struct Waiting {
    TokenOut token;
    uint64_t text_end = 0;  // released when that many bytes of text are out
  };

  bool AddText(std::string_view made, Delta* delta);
  void ReleaseText(size_t bytes, Delta* delta);
  void ReleaseTokens(bool all, Delta* delta);

  const text::Tokenizer& tokenizer_;
  const OutputOptions options_;
  StopStrings stops_;
  text::Detokenizer detokenizer_;
  std::string held_;        // made, not out
  uint64_t made_bytes_ = 0;
  uint64_t out_bytes_ = 0;
  std::deque<Waiting> waiting_;
};

}  // namespace pelton::engine
