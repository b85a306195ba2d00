#include "codec/utf8.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace pelton::codec {
namespace {

constexpr std::string_view kValid = "aé€😀\xF4\x8F\xBF\xBF\xED\x9F\xBF\xEE\x80\x80";

TEST(Utf8, ValidTextIsValidAndUnchanged) {
  EXPECT_TRUE(ValidUtf8(kValid));
  EXPECT_TRUE(ValidUtf8(""));
  EXPECT_TRUE(ValidUtf8(std::string(1000, 'x') + "é"));
  EXPECT_EQ(SanitizeUtf8(kValid), kValid);
}

TEST(Utf8, RefusesOverlongSurrogatesAndBeyondUnicode) {
  for (std::string_view bad :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\x80", "\xE2\x82", "abcdefgh\xC3"}) {
    EXPECT_FALSE(ValidUtf8(bad)) << testing::PrintToString(bad);
    EXPECT_TRUE(ValidUtf8(SanitizeUtf8(bad)));
  }
}

TEST(Utf8, ReplacesMaximalParts) {  // the example of Unicode 15, table 3-11
  EXPECT_EQ(SanitizeUtf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFD\x41");
  EXPECT_EQ(SanitizeUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
}

TEST(Utf8, AppendsEveryLength) {
  std::string out;
  for (uint32_t c : {0x41u, 0xE9u, 0x20ACu, 0x1F600u, 0xD800u, 0x110000u}) AppendUtf8(c, &out);
  EXPECT_EQ(out, "Aé€😀\uFFFD\uFFFD");
}

TEST(Utf8, TailOfACutCharacter) {
  EXPECT_EQ(IncompleteUtf8Tail("abc"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("ab\xC3"), 1u);
  EXPECT_EQ(IncompleteUtf8Tail("ab\xE2\x82"), 2u);
  EXPECT_EQ(IncompleteUtf8Tail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(IncompleteUtf8Tail("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(IncompleteUtf8Tail("\xED\xA0"), 0u);  // can never become a character
}

TEST(Utf8, StreamGivesTheSameTextHoweverItIsCut) {
  const std::string text =
      std::string(kValid) + "\xE2\x82" + "x\xFF" + std::string(kValid) + "\xF0\x9F";
  const std::string whole = SanitizeUtf8(text);
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = std::min<size_t>(1 + random.Below(4), text.size() - at);
      const std::string piece = stream.Push(std::string_view(text).substr(at, n));
      EXPECT_TRUE(ValidUtf8(piece));
      out += piece;
      at += n;
    }
    out += stream.Flush();
    ASSERT_EQ(out, whole);
    EXPECT_TRUE(stream.empty());
  }
}

}  // namespace
}  // namespace pelton::codec
