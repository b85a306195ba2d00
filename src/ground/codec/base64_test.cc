#include "codec/base64.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace pelton::codec {
namespace {

TEST(Base64, Rfc4648Vectors) {
  const std::pair<const char*, const char*> kVectors[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : kVectors) {
    EXPECT_EQ(EncodeBase64(plain), text);
    EXPECT_EQ(DecodeBase64(text).value(), plain);
  }
}

TEST(Base64, RoundTripsAllBytesInBothAlphabets) {
  Random random(1);
  for (size_t size = 0; size < 100; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random.Below(256)));
    for (auto alphabet : {Base64Alphabet::kStandard, Base64Alphabet::kUrl}) {
      EXPECT_EQ(DecodeBase64(EncodeBase64(bytes, alphabet), alphabet).value(), bytes);
    }
  }
  EXPECT_EQ(EncodeBase64("\xFB\xFF", Base64Alphabet::kUrl), "-_8");
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zm-_",
                          "====", "=Zg=", "Zg==Zg=="}) {
    EXPECT_FALSE(DecodeBase64(bad).ok()) << bad;
  }
  for (const char* bad : {"Zg==", "Zh", "+/8", "Z"}) {
    EXPECT_FALSE(DecodeBase64(bad, Base64Alphabet::kUrl).ok()) << bad;
  }
}

}  // namespace
}  // namespace pelton::codec
