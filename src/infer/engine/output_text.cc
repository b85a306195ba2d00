#include "engine/output_text.h"

#include <utility>

namespace pelton::engine {

OutputText::OutputText(const text::Tokenizer& tokenizer, std::vector<std::string> stop,
                       OutputOptions options)
    : tokenizer_(tokenizer), options_(options), stops_(std::move(stop)),
      detokenizer_(tokenizer, options.special_tokens_in_text) {}

bool OutputText::Push(TokenOut token, Delta* delta) {
  const text::TokenId id = token.id;
  const std::string made = detokenizer_.Push(id);
  // A part of a character has no text yet: it goes out with the text that follows.
  const bool incomplete =
      made.empty() && !tokenizer_.Bytes(id, options_.special_tokens_in_text).empty();
  waiting_.push_back({std::move(token), made_bytes_ + made.size() + (incomplete ? 1 : 0)});
  if (AddText(made, delta)) return true;
  ReleaseText(held_.size() - stops_.PossibleLength(), delta);
  ReleaseTokens(!options_.tokens_wait_for_text, delta);
  return false;
}

void OutputText::PushEnd(TokenOut token, Delta* delta) {
  waiting_.push_back({std::move(token), made_bytes_});
  ReleaseTokens(!options_.tokens_wait_for_text, delta);
}

bool OutputText::Finish(Delta* delta) {
  if (AddText(detokenizer_.Flush(), delta)) return true;
  ReleaseText(held_.size(), delta);
  ReleaseTokens(/*all=*/true, delta);
  return false;
}

// Holds `made`. When that completes a stop string, lets out what goes before it and returns true.
bool OutputText::AddText(std::string_view made, Delta* delta) {
  const size_t held_before = held_.size();
  held_ += made;
  made_bytes_ += made.size();
  const auto match = stops_.Feed(made);
  if (!match) return false;
  const size_t end = held_before + match->end;
  delta->stop_match = *match->stop;
  ReleaseText(options_.include_stop_in_text ? end : end - match->stop->size(), delta);
  held_.clear();
  ReleaseTokens(/*all=*/true, delta);
  return true;
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
