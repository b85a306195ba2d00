// Token ids equal the reference tokenizer's on 10,000 strings (README.md), and decode back.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "format/hf_json.h"
#include "format/model_file.h"
#include "hf_folder.h"
#include "text/tokenizer.h"

namespace pelton::text {
namespace {

// Reads LEB128 numbers and strings out of a file's bytes; a file that ends early throws.
class Cursor {
 public:
  explicit Cursor(const std::string& name) {
    std::ifstream in(std::string(PELTON_GOLDEN_DATA) + "/" + name, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
  }
  std::string Take(size_t n) {
    const std::string out = bytes_.substr(at_, n);
    if (out.size() != n) throw std::runtime_error("the golden file ends early");
    at_ += n;
    return out;
  }
  uint32_t U32() {
    const std::string b = Take(4);
    uint32_t out = 0;
    for (int i = 3; i >= 0; --i) out = out << 8 | static_cast<uint8_t>(b[static_cast<size_t>(i)]);
    return out;
  }
  uint32_t Varint() {
    uint32_t out = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(Take(1)[0]);
      out |= static_cast<uint32_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return out;
    }
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string bytes_;
  size_t at_ = 0;
};

std::vector<std::string> Strings() {
  Cursor file("tokens.strings.bin");
  EXPECT_EQ(file.Take(8), "PLTNSTR1");
  std::vector<std::string> out(file.U32());
  for (std::string& s : out) s = file.Take(file.Varint());
  EXPECT_TRUE(file.at_end());
  return out;
}

std::vector<std::vector<TokenId>> Ids(const std::string& name) {
  Cursor file(name);
  EXPECT_EQ(file.Take(8), "PLTNTOK1");
  std::vector<std::vector<TokenId>> out(file.U32());
  for (auto& row : out) {
    row.resize(file.Varint());
    for (TokenId& id : row) id = static_cast<TokenId>(file.Varint());
  }
  EXPECT_TRUE(file.at_end());
  return out;
}

std::string Shown(const std::vector<TokenId>& ids) {
  std::string out;
  for (const TokenId id : ids) out += std::to_string(id) + " ";
  return out;
}

// `changes`: whether a string may decode to another one. `as_json`: with the vocabulary written as
// tokenizer.json and read from there.
void Compare(const char* variable, const std::string& golden, const std::vector<TokenId>& end_ids,
             bool (*changes)(const std::string&), bool as_json = false) {
  const char* path = std::getenv(variable);
  ASSERT_NE(path, nullptr) << variable << " is not set; tools/setup/setup.sh gets the models";
  const auto file = format::ModelFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  format::HfStore store;
  format::Metadata converted;
  if (as_json) {
    const codec::Json json = golden::HfFolderWriter(**file, "").Tokenizer();
    const codec::Json config = golden::HfFolderWriter(**file, "").TokenizerConfig();
    const Status read = format::ReadHfTokenizer(
        {.tokenizer = &json, .tokenizer_config = &config, .chat_template = {}}, store, converted);
    ASSERT_TRUE(read.ok()) << read.ToString();
  }
  const auto tokenizer = Tokenizer::FromMetadata(as_json ? converted : (*file)->metadata());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  const auto ends = (*tokenizer)->end_ids();
  EXPECT_EQ(std::vector<TokenId>(ends.begin(), ends.end()), end_ids);
  const std::vector<std::string> strings = Strings();
  const std::vector<std::vector<TokenId>> expected = Ids(golden);
  ASSERT_EQ(strings.size(), 10'000U);
  ASSERT_EQ(strings.size(), expected.size());
  int wrong = 0;
  int decoded = 0;
  for (size_t i = 0; i < strings.size(); ++i) {
    const auto ids = (*tokenizer)->Encode(strings[i], {});
    ASSERT_TRUE(ids.ok()) << ids.status().ToString();
    if (*ids != expected[i] && ++wrong <= 5) {
      ADD_FAILURE() << "string " << i << " \"" << strings[i] << "\"\n  ours      " << Shown(*ids)
                    << "\n  reference " << Shown(expected[i]);
    }
    if (changes(strings[i])) continue;
    EXPECT_EQ((*tokenizer)->Decode(*ids), strings[i]) << "string " << i;
    ++decoded;
  }
  EXPECT_EQ(wrong, 0) << "of " << strings.size();
  EXPECT_GT(decoded, 9000);
}

// The bytes that SmolLM2's vocabulary lacks vanish, in the reference too.
bool HasMissingByte(const std::string& s) {
  static const std::string kMissing = "\x04\x06\x13\x14\x16\x1d\xf1\xf2";
  return s.find_first_of(kMissing) != std::string::npos;
}

// U+2581 is how the pieces write a space, and reads back as one.
bool HasEscapedSpace(const std::string& s) { return s.find("\xe2\x96\x81") != std::string::npos; }

TEST(GoldenTokens, SmolLm2) {
  Compare("PELTON_MODEL_SMOLLM2", "tokens.smollm2.bin", {0, 2}, HasMissingByte);
}

TEST(GoldenTokens, SmolLm2AsTokenizerJson) {
  Compare("PELTON_MODEL_SMOLLM2", "tokens.smollm2.bin", {0, 2}, HasMissingByte, true);
}

TEST(GoldenTokens, Gemma3AsTokenizerJson) {
  Compare("PELTON_MODEL_GEMMA3", "tokens.gemma3.bin", {1, 106}, HasEscapedSpace, true);
}

TEST(GoldenTokens, Gemma3) {
  Compare("PELTON_MODEL_GEMMA3", "tokens.gemma3.bin", {1, 106}, HasEscapedSpace);
}

}  // namespace
}  // namespace pelton::text
