// Model output and stop strings as a client chose them, cut into tokens anywhere: text must be valid
// UTF-8, must end before the stop string that is complete first, and every token must come out once.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/output_text.h"
#include "engine/testing/fake_tokenizer.h"

namespace {

using pelton::engine::Delta;
using pelton::engine::OutputText;
using pelton::engine::testing::FakeTokenizer;

// Bytes of the input, one after another; zeros at its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t Byte() { return at_ < size_ ? data_[at_++] : uint8_t{0}; }
  std::string Text(size_t most) {
    std::string text;
    const size_t n = most == 0 ? 0 : Byte() % (most + 1);
    for (size_t i = 0; i < n && at_ < size_; ++i) text += static_cast<char>(Byte());
    return text;
  }
  bool done() const { return at_ >= size_; }

 private:
  const uint8_t* data_;
  const size_t size_;
  size_t at_ = 0;
};

void Require(bool held) {
  if (!held) std::abort();
}

size_t CharacterBytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  Require(lead < 0x80 || (lead >= 0xC2 && lead < 0xF5));
  Require(n <= text.size());
  for (size_t i = 1; i < n; ++i) Require((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
  return n;
}

// What detokenizing alone gives, and of it what goes before the first complete stop.
std::string Expected(const std::string& all, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= all.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (std::string_view(all.data(), end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return all.substr(0, include ? end : end - longest);
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t flags = input.Byte();
  const bool include = (flags & 1) != 0;
  std::vector<std::string> stops;
  for (int i = flags >> 5; i > 0; --i) {
    std::string stop = input.Text(12);
    if (!stop.empty()) stops.push_back(std::move(stop));
  }
  std::vector<std::string> pieces;
  while (!input.done()) pieces.push_back(input.Text(9));
  const FakeTokenizer tokenizer(pieces);

  OutputText output(tokenizer, stops,
                    {.include_stop_in_text = include,
                     .special_tokens_in_text = (flags & 2) != 0,
                     .tokens_wait_for_text = (flags & 4) != 0});
  pelton::text::Detokenizer plain(tokenizer, (flags & 2) != 0);
  std::string all, text;
  std::vector<int32_t> told;
  const auto hear = [&](const Delta& delta) {
    text += delta.text;
    for (const auto& token : delta.tokens) told.push_back(token.id);
  };
  bool stopped = false;
  size_t pushed = 0;
  for (; pushed < pieces.size() && !stopped; ++pushed) {
    const auto id = static_cast<int32_t>(FakeTokenizer::kFirstPiece + pushed);
    all += plain.Push(id);
    Delta delta;
    stopped = output.Push({.id = id, .logprob = 0.f, .top = {}}, &delta);
    hear(delta);
  }
  if (!stopped) {
    all += plain.Flush();
    Delta delta;
    output.Finish(&delta);
    hear(delta);
  }
  Require(text == Expected(all, stops, include));
  Require(told.size() == pushed);
  for (size_t i = 0; i < told.size(); ++i) {
    Require(told[i] == static_cast<int32_t>(FakeTokenizer::kFirstPiece + i));
  }
  if (stops.empty()) {
    for (std::string_view rest = text; !rest.empty();) rest.remove_prefix(CharacterBytes(rest));
  }
  return 0;
}
