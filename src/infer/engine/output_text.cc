#include "engine/output_text.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pelton::engine {

OutputText::OutputText(const text::Tokenizer& tokenizer, OutputOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)),
      detokenizer_(tokenizer, options_.special_tokens_in_text) {}

bool OutputText::Push(TokenOut token, Delta* delta) {
  const text::TokenId id = token.id;
  const std::string made = detokenizer_.Push(id);
  // A part of a character has no text yet: it goes out with the text that follows.
  const bool incomplete =
      made.empty() && !tokenizer_.Bytes(id, options_.special_tokens_in_text).empty();
  made_bytes_ += made.size();
  held_ += made;
  waiting_.push_back({std::move(token), made_bytes_ + (incomplete ? 1 : 0)});
  if (TakeStop(delta)) return true;
  ReleaseText(held_.size() - PossibleStopLength(), delta);
  ReleaseTokens(!options_.tokens_wait_for_text, delta);
  return false;
}

void OutputText::PushEnd(TokenOut token, Delta* delta) {
  waiting_.push_back({std::move(token), made_bytes_});
  ReleaseTokens(!options_.tokens_wait_for_text, delta);
}

bool OutputText::Finish(Delta* delta) {
  held_ += detokenizer_.Flush();
  if (TakeStop(delta)) return true;
  ReleaseText(held_.size(), delta);
  ReleaseTokens(/*all=*/true, delta);
  return false;
}

bool OutputText::TakeStop(Delta* delta) {
  size_t best_begin = std::string::npos;
  size_t best_end = std::string::npos;
  const std::string* match = nullptr;
  for (const std::string& stop : options_.stop) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (match == nullptr || end < best_end || (end == best_end && begin < best_begin)) {
      best_begin = begin;
      best_end = end;
      match = &stop;
    }
  }
  if (match == nullptr) return false;
  delta->stop_match = *match;
  ReleaseText(options_.include_stop_in_text ? best_end : best_begin, delta);
  held_.clear();
  ReleaseTokens(/*all=*/true, delta);
  return true;
}

// Of the longest end of held_ that a stop string begins with.
size_t OutputText::PossibleStopLength() const {
  const std::string_view held = held_;
  size_t longest = 0;
  for (const std::string& stop : options_.stop) {
    for (size_t n = std::min(stop.size() - 1, held.size()); n > longest; --n) {
      if (held.substr(held.size() - n) == std::string_view(stop).substr(0, n)) {
        longest = n;
        break;
      }
    }
  }
  return longest;
}

void OutputText::ReleaseText(size_t bytes, Delta* delta) {
  delta->text.append(held_, 0, bytes);
  held_.erase(0, bytes);
  out_bytes_ += bytes;
}

void OutputText::ReleaseTokens(bool all, Delta* delta) {
  while (!waiting_.empty() && (all || waiting_.front().text_end <= out_bytes_)) {
    delta->tokens.push_back(std::move(waiting_.front().token));
    waiting_.pop_front();
  }
}

}  // namespace pelton::engine
