// A vocabulary and a text, both from outside: refused, or a tokenizer whose ids are in range, that
// gives no control token for plain text and streams valid UTF-8.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "text/test_model.h"

namespace {

using pelton::text::TestModel;
using pelton::text::TokenId;

constexpr const char* kPres[] = {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-llm",
                                 "deepseek-v3", "default", "falcon", "bloom", "viking"};

// A valid vocabulary of either kind, then changed by the input.
TestModel Vocabulary(FuzzedDataProvider& in) {
  TestModel m = in.ConsumeBool() ? pelton::text::ByteLevelModel() : pelton::text::ScoredModel();
  if (m.model == "gpt2") m.pre = in.PickValueInArray(kPres);
  for (int n = in.ConsumeIntegralInRange(0, 12); n > 0; --n) {
    const std::string piece = in.ConsumeRandomLengthString(12);
    const int64_t kind = in.ConsumeIntegralInRange<int64_t>(0, 7);
    switch (in.ConsumeIntegralInRange(0, 4)) {
      case 0: m.Add(piece, kind, in.ConsumeIntegralInRange(-30, 0)); break;
      case 1: m.merges.push_back(piece + " " + in.ConsumeRandomLengthString(4)); break;
      case 2: m.pieces[in.ConsumeIntegralInRange<size_t>(0, m.pieces.size() - 1)] = piece; break;
      case 3: m.kinds[in.ConsumeIntegralInRange<size_t>(0, m.kinds.size() - 1)] = kind; break;
      default: m.Set("tokenizer.ggml.eos_token_id", in.ConsumeIntegral<uint64_t>()); break;
    }
  }
  m.Set("tokenizer.ggml.add_bos_token", in.ConsumeBool());
  m.Set("tokenizer.ggml.add_space_prefix", in.ConsumeBool());
  return m;
}

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  const TestModel model = Vocabulary(in);
  const auto tokenizer = model.Load();
  if (!tokenizer.ok()) {
    Require(tokenizer.status().code() == pelton::StatusCode::kInvalidArgument);
    return 0;
  }
  const bool special = in.ConsumeBool();
  const std::string text = in.ConsumeRemainingBytesAsString();
  const auto ids = (*tokenizer)->Encode(text, {.add_bos = true, .parse_special = special});
  Require(ids.ok() == pelton::codec::ValidUtf8(text));
  if (!ids.ok()) return 0;
  const TokenId bos = (*tokenizer)->add_bos() ? (*tokenizer)->bos() : -1;
  for (size_t i = 0; i < ids->size(); ++i) {
    const TokenId id = (*ids)[i];
    Require(id >= 0 && id < (*tokenizer)->vocab_size());
    Require(special || (i == 0 && id == bos) || !(*tokenizer)->IsControl(id));
  }
  Require(pelton::codec::ValidUtf8((*tokenizer)->Decode(*ids, true)));
  return 0;
}
