#include "codec/utf8.h"

#include <cstring>

namespace pelton::codec {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

enum class Verdict : uint8_t { kComplete, kIllFormed, kCut };

struct Character {
  Verdict verdict = Verdict::kIllFormed;
  size_t length = 1;  // bytes of the character, or of the ill-formed or cut part
};

uint8_t At(std::string_view s, size_t i) { return static_cast<uint8_t>(s[i]); }

// The second byte's range depends on the first (Unicode 15, table 3-7); later ones are 80..BF.
Character ReadCharacter(std::string_view s) {
  const uint8_t first = At(s, 0);
  if (first < 0x80) return {Verdict::kComplete, 1};
  if (first < 0xC2 || first > 0xF4) return {Verdict::kIllFormed, 1};
  const size_t need = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (size_t i = 1; i < need; ++i) {
    if (i == s.size()) return {Verdict::kCut, i};
    const uint8_t byte = At(s, i);
    if (byte < low || byte > high) return {Verdict::kIllFormed, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Verdict::kComplete, need};
}

size_t AsciiRun(std::string_view s) {
  size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, s.data() + i, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
  }
  while (i < s.size() && At(s, i) < 0x80) ++i;
  return i;
}

}  // namespace

bool ValidUtf8(std::string_view bytes) {
  while (true) {
    bytes.remove_prefix(AsciiRun(bytes));
    if (bytes.empty()) return true;
    const Character c = ReadCharacter(bytes);
    if (c.verdict != Verdict::kComplete) return false;
    bytes.remove_prefix(c.length);
  }
}

std::string SanitizeUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (true) {
    const size_t run = AsciiRun(bytes);
    out.append(bytes.substr(0, run));
    bytes.remove_prefix(run);
    if (bytes.empty()) return out;
    const Character c = ReadCharacter(bytes);
    out.append(c.verdict == Verdict::kComplete ? bytes.substr(0, c.length) : kReplacement);
    bytes.remove_prefix(c.length);
  }
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
    out->append(kReplacement);
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t IncompleteUtf8Tail(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const uint8_t byte = At(bytes, bytes.size() - back);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation: its first byte lies further back
    const std::string_view last = bytes.substr(bytes.size() - back);
    const Character c = ReadCharacter(last);
    return c.verdict == Verdict::kCut && c.length == back ? back : 0;
  }
  return 0;
}

std::string Utf8Stream::Push(std::string_view bytes) {
  kept_.append(bytes);
  const size_t tail = IncompleteUtf8Tail(kept_);
  const size_t ready = kept_.size() - tail;
  std::string out = SanitizeUtf8(std::string_view(kept_).substr(0, ready));
  kept_.erase(0, ready);
  return out;
}

std::string Utf8Stream::Flush() {
  std::string out = SanitizeUtf8(kept_);
  kept_.clear();
  return out;
}

}  // namespace pelton::codec
