// Token ids as clients choose them, in prompt and answer: a look-up must agree with the text, a draft
// must go on as the text did, work and memory must stay bounded, and so must refused guesses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "engine/drafter.h"

namespace {

using pelton::engine::Drafter;
using pelton::engine::kDraftMax;
using pelton::engine::NgramIndex;

void Require(bool held) {
  if (!held) std::abort();
}

void CheckMatch(const NgramIndex::Match& match, std::span<const int32_t> tokens) {
  if (match.length == 0) return;
  Require(match.length >= NgramIndex::kMatchMin && match.length <= NgramIndex::kMatchMax);
  Require(match.next < tokens.size() && match.next >= static_cast<size_t>(match.length));
  for (size_t k = 1; k <= static_cast<size_t>(match.length); ++k) {
    Require(tokens[match.next - k] == tokens[tokens.size() - k]);
  }
}

}  // namespace

// Byte 0: how many different ids, and their size. Then each byte is a token, and now and then a step.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const int32_t words = 1 + data[0] % 32;
  const int32_t stride = data[0] >= 128 ? 0x3ffffff : 1;
  const int32_t end_id = (words - 1) * stride;
  Drafter drafter(static_cast<int>(data[1]) << (data[1] % 16));
  NgramIndex index(static_cast<int>(data[1]));
  std::vector<int32_t> tokens;
  double refused = 0, accepted = 0, steps = 0;
  for (size_t i = 2; i < size; ++i) {
    tokens.push_back(data[i] % words * stride);
    index.CatchUp(tokens);
    CheckMatch(index.Find(tokens), tokens);
    Require(index.bytes() <= sizeof(int32_t) * (65536 + tokens.size() + 1));
    if (data[i] < 96) continue;
    drafter.Propose(tokens, data[i] % 20, {&end_id, 1});
    const auto draft = drafter.draft();
    Require(draft.size() <= static_cast<size_t>(kDraftMax) && draft.size() <= data[i] % 20u);
    for (size_t j = 0; j < draft.size(); ++j) {
      Require(draft[j] >= 0 && draft[j] % stride == 0 && draft[j] <= end_id);
      Require(draft[j] != end_id || j + 1 == draft.size());
      Require(drafter.Chance(j) > 0 && drafter.Chance(j) < 1);
    }
    const int tried = static_cast<int>(draft.size()) - (draft.empty() ? 0 : data[i] & 1);
    const int right = tried == 0 ? 0 : (data[i] >> 1) % (tried + 1);
    drafter.Settle(tried, right);
    refused += tried - right;
    accepted += right;
    steps += 1;
    Require(refused <= Drafter::kCreditFirst + steps / Drafter::kStepsACredit +
                           Drafter::kCreditOfHit * accepted);
  }
  return 0;
}
