#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "format/gguf.h"
#include "generate/shapes.h"
#include "generate/vocabulary.h"
#include "generate/weights.h"

namespace pelton::generate {
namespace {

using tensor::DType;

std::vector<std::byte> Make(std::string_view name, std::string_view type, uint64_t seed) {
  const Shape& shape = **FindShape(name);
  format::GgufWriter writer;
  SetShapeKeys(shape, type, &writer);
  Vocabulary vocabulary;
  EXPECT_TRUE(vocabulary.SetBytes(shape.vocab, &writer).ok());
  WeightSource weights(shape, seed);
  const auto plan = PlanTensors(shape, type);
  EXPECT_TRUE(plan.ok());
  for (const TensorPlan& t : *plan) {
    EXPECT_TRUE(writer.AddTensor(t.name, t.dtype, t.shape, weights.FillFor(t)).ok()) << t.name;
  }
  return writer.Bytes();
}

TEST(Generate, SameSeedSameFileOtherSeedAnotherOne) {
  EXPECT_EQ(Make("tiny", "Q4_K_M", 1), Make("tiny", "Q4_K_M", 1));
  EXPECT_NE(Make("tiny", "Q4_K_M", 1), Make("tiny", "Q4_K_M", 2));
}

TEST(Generate, EveryTypeGivesAReadableFileWithWeightsOfTheRightSize) {
  for (const char* type : {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K",
                           "Q3_K", "Q4_K", "Q4_K_M", "Q5_K", "Q5_K_M", "Q6_K"}) {
    const auto bytes = Make("tiny", type, 3);
    const auto got = format::ParseGguf(bytes);
    ASSERT_TRUE(got.ok()) << type << got.status().ToString();
    for (const format::Tensor& t : got->tensors) {
      if (t.name != "blk.1.ffn_up.weight") continue;
      std::vector<float> values(t.elements());
      tensor::DequantizeRow(t.dtype, t.data.data(), t.elements(), values.data());
      double sum = 0, squares = 0;
      for (const float v : values) sum += v, squares += double{v} * v;
      const auto n = static_cast<double>(values.size());
      EXPECT_NEAR(std::sqrt(squares / n), 1 / 16.0, 0.006) << type;
      EXPECT_NEAR(sum / n, 0, 0.002) << type;
    }
  }
}

TEST(Generate, TypesFollowTheQuantiserThatPeopleUse) {
  const auto type_of = [](std::string_view shape, std::string_view type, std::string_view name) {
    const auto plan = PlanTensors(**FindShape(shape), type);
    for (const TensorPlan& t : *plan) {
      if (t.name == name) return tensor::InfoOf(t.dtype).name;
    }
    return std::string_view("none");
  };
  EXPECT_EQ(type_of("llama-3.2-1b", "Q4_0", "token_embd.weight"), "Q6_K");
  EXPECT_EQ(type_of("llama-3.2-1b", "Q4_0", "output.weight"), "none");
  EXPECT_EQ(type_of("llama-3.1-8b", "Q4_0", "token_embd.weight"), "Q4_0");
  EXPECT_EQ(type_of("llama-3.1-8b", "Q4_0", "output.weight"), "Q6_K");
  EXPECT_EQ(type_of("llama-3.2-1b", "BF16", "token_embd.weight"), "BF16");
  // As in the published Q4_K_M file of Gemma 3 270M.
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "token_embd.weight"), "Q8_0");
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "blk.0.attn_q.weight"), "Q5_0");
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "blk.0.attn_v.weight"), "Q8_0");
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "blk.0.ffn_down.weight"), "Q6_K");
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "blk.2.ffn_down.weight"), "Q4_K");
  EXPECT_EQ(type_of("gemma3-270m", "Q4_K_M", "blk.0.attn_output.weight"), "Q4_K");
  EXPECT_EQ(type_of("smollm2-135m", "Q4_1", "token_embd.weight"), "Q8_0");
}

TEST(Generate, ShapesHaveTheirPublishedNumberOfWeights) {
  const auto millions = [](std::string_view name) {
    int64_t sum = 0;
    const auto plan = PlanTensors(**FindShape(name), "F32");
    for (const TensorPlan& t : *plan) {
      int64_t product = 1;
      for (const int64_t size : t.shape) product *= size;
      sum += product;
    }
    return std::round(static_cast<double>(sum) / 1e4) / 100;
  };
  EXPECT_NEAR(millions("smollm2-135m"), 134.52, 0.01);
  EXPECT_NEAR(millions("smollm2-360m"), 361.82, 0.01);
  EXPECT_NEAR(millions("llama-3.2-1b"), 1235.81, 0.01);
  EXPECT_NEAR(millions("llama-3.2-3b"), 3212.75, 0.01);
  EXPECT_NEAR(millions("llama-3.1-8b"), 8030.26, 0.01);
  EXPECT_NEAR(millions("gemma3-270m"), 268.10, 0.01);
  EXPECT_NEAR(millions("gemma3-1b"), 999.89, 0.01);
}

TEST(Generate, NamesWhatThereIsWhenAskedForWhatThereIsNot) {
  EXPECT_NE(FindShape("gpt-5").status().message().find("llama-3.2-1b"), std::string::npos);
  EXPECT_NE(PlanTensors(AllShapes()[0], "IQ2_XS").status().message().find("Q4_K_M"),
            std::string::npos);
}

TEST(Vocabulary, HasEveryByteOnceAndPadsWithTokensOfTheirOwn) {
  format::GgufWriter writer;
  Vocabulary vocabulary;
  EXPECT_FALSE(vocabulary.SetBytes(258, &writer).ok());
  ASSERT_TRUE(vocabulary.SetBytes(300, &writer).ok());
  const auto bytes = writer.Bytes();
  const auto got = format::ParseGguf(bytes);
  ASSERT_TRUE(got.ok());
  const auto tokens = got->metadata.Strings("tokenizer.ggml.tokens").value();
  const auto types = got->metadata.Ints("tokenizer.ggml.token_type").value();
  ASSERT_EQ(tokens.size(), 300u);
  ASSERT_EQ(types.size(), 300u);
  EXPECT_EQ(std::set<std::string_view>(tokens.begin(), tokens.end()).size(), 300u);
  EXPECT_EQ(tokens['a'], "a");
  EXPECT_EQ(tokens[' '], "\xc4\xa0");  // U+0120
  EXPECT_EQ(tokens[0], "\xc4\x80");    // U+0100
  EXPECT_EQ(tokens[0xff], "\xc3\xbf");
  EXPECT_EQ(types[258], 3);
  EXPECT_EQ(types[259], 1);  // shown when a random model answers with it
  EXPECT_EQ(tokens[259], "[259]");
}

TEST(RopeFactors, AreOneForShortWavesAndTheFactorForLongOnes) {
  const std::vector<float> factors = RopeFactors(64, 500000, 32);
  ASSERT_EQ(factors.size(), 32u);
  EXPECT_EQ(factors.front(), 1.0F);
  EXPECT_EQ(factors.back(), 32.0F);
  EXPECT_TRUE(std::is_sorted(factors.begin(), factors.end()));
}

}  // namespace
}  // namespace pelton::generate
