// How close a model's distributions are to a reference's, over given token sequences: perplexity,
// mean KL divergence, share of equal first candidates. Used by `pelton perplexity` and the golden
// tests. The reference file's format is described in tests/golden/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/kernels.h"
#include "models/model.h"
#include "nn/team.h"

namespace pelton::models {

// What the reference thinks of one position.
struct ReferencePosition {
  float next_logprob = 0.f;   // of the token that follows
  float outside_mass = 0.f;   // probability outside the head
  const int32_t* ids = nullptr;      // [head + tail], the head in falling order of probability
  const float* logprobs = nullptr;   // [head + tail]
};

struct ReferenceDocument {
  std::vector<int32_t> ids;          // the whole sequence
  std::vector<float> next_logprobs;  // [ids - 1]
  std::vector<float> outside_mass;   // [ids - 1]
  std::vector<int32_t> candidates;   // [ids - 1][head + tail]
  std::vector<float> logprobs;       // [ids - 1][head + tail]
};

struct KlReference {
  int vocab = 0;
  int head = 0;  // most likely candidates of a position
  int tail = 0;  // candidates drawn from the rest
  std::vector<ReferenceDocument> documents;

  ReferencePosition At(const ReferenceDocument& document, size_t position) const;
};

// Nothing in the bytes is trusted. At most kReferenceTokensMax tokens in a document.
inline constexpr uint32_t kReferenceTokensMax = 1 << 20;
inline constexpr uint32_t kReferenceCandidatesMax = 1024;
Result<KlReference> ReadKlReference(std::span<const std::byte> bytes);

struct Fidelity {
  int64_t positions = 0;
  double nll = 0.0;            // summed negative log-likelihood of the tokens that follow
  double reference_nll = 0.0;  // the rest only with a reference
  double kl = 0.0;             // summed KL(reference ‖ model)
  int64_t same_first = 0;      // positions whose first candidate is the reference's

  double perplexity() const;
  double reference_perplexity() const;
  double mean_kl() const { return positions == 0 ? 0.0 : kl / static_cast<double>(positions); }
  double same_first_share() const;
};

// Runs the model over `ids` from an empty cache in chunks of `chunk` tokens (1 … MaxRows()) and
// gives the logits [vocab] after each token to `visit`. Takes the team's Turn. Errors:
// RESOURCE_EXHAUSTED when the KV cache does not fit; INVALID_ARGUMENT for ids out of range.
using VisitLogits = std::function<void(size_t position, std::span<const float> logits)>;
Status RunSequence(Model& model, nn::Team& team, std::span<const int32_t> ids, int chunk,
                   const VisitLogits& visit);

// Adds the sequence's positions to `out`. `document` (of `reference`) may be null. `table` computes
// the normalisation of each row.
Status Evaluate(Model& model, nn::Team& team, const kernels::KernelTable& table,
                std::span<const int32_t> ids, const KlReference* reference,
                const ReferenceDocument* document, int chunk, Fidelity& out);

}  // namespace pelton::models
