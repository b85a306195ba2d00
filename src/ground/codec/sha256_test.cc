#include "codec/sha256.h"

#include <gtest/gtest.h>

namespace pelton::codec {
namespace {

TEST(Sha256, FipsVectors) {
  EXPECT_EQ(EncodeHex(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(EncodeHex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(EncodeHex(Sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAndTheStreamRestarts) {
  Sha256Stream stream;
  for (int round = 0; round < 2; ++round) {
    stream.Push("a");
    stream.Push("");
    stream.Push("bc");
    EXPECT_EQ(stream.Finish(), Sha256("abc"));
  }
}

TEST(Sha256, ParsesItsOwnHexAndNothingElse) {
  const Sha256Digest digest = Sha256("abc");
  std::string hex = EncodeHex(digest);
  EXPECT_EQ(ParseSha256Hex(hex).value(), digest);
  EXPECT_FALSE(ParseSha256Hex(hex + "0").ok());
  EXPECT_FALSE(ParseSha256Hex(hex.substr(1)).ok());
  hex[5] = 'g';
  EXPECT_FALSE(ParseSha256Hex(hex).ok());
}

TEST(ConstantTime, Compares) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual("secret", "secret"));
  EXPECT_FALSE(ConstantTimeEqual("secret", "secreT"));
  EXPECT_FALSE(ConstantTimeEqual("secret", "secre"));
  EXPECT_TRUE(ConstantTimeEqual(Sha256("a"), Sha256("a")));
  EXPECT_FALSE(ConstantTimeEqual(Sha256("a"), Sha256("b")));
}

}  // namespace
}  // namespace pelton::codec
