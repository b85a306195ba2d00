#include "models/evaluate.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string_view>

namespace pelton::models {
namespace {

constexpr std::string_view kMagic = "PLTNKLD1";
constexpr int kDocumentsMax = 1 << 16;
static_assert(std::endian::native == std::endian::little, "the file is little-endian");

// Reads little-endian values and refuses to pass the end.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool Has(uint64_t bytes) const { return bytes <= bytes_.size(); }
  template <typename T>
  T Get() {
    T value;
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  uint32_t GetUint(uint32_t width) {  // 2 or 3 bytes
    uint32_t value = 0;
    std::memcpy(&value, bytes_.data(), width);
    bytes_ = bytes_.subspan(width);
    return value;
  }
  bool done() const { return bytes_.empty(); }

 private:
  std::span<const std::byte> bytes_;
};

struct Header {
  uint32_t documents = 0, vocab = 0, head = 0, tail = 0, step = 0, id_bytes = 0;
};

Status Damaged(std::string_view what) {
  return DataLoss(fmt::format("reference file: {}", what));
}

Result<Header> ReadHeader(Cursor& in) {
  if (!in.Has(kMagic.size() + 6 * sizeof(uint32_t))) return Damaged("shorter than its header");
  char magic[8];
  for (char& c : magic) c = in.Get<char>();
  if (std::string_view(magic, sizeof magic) != kMagic) return Damaged("not a PLTNKLD1 file");
  Header h;
  for (uint32_t* field : {&h.documents, &h.vocab, &h.head, &h.tail, &h.step, &h.id_bytes}) {
    *field = in.Get<uint32_t>();
  }
  if (h.documents > kDocumentsMax) return Damaged("too many documents");
  if (h.vocab < 1 || h.vocab > (1u << 24)) return Damaged("vocabulary out of range");
  if (h.head < 1 || h.head > kReferenceCandidatesMax || h.tail > kReferenceCandidatesMax) {
    return Damaged("number of candidates out of range");
  }
  if (h.step < 1 || (h.id_bytes != 2 && h.id_bytes != 3)) return Damaged("unknown encoding");
  return h;
}

Status ReadPosition(Cursor& in, const Header& h, ReferenceDocument& out) {
  const uint32_t candidates = h.head + h.tail;
  out.next_logprobs.push_back(in.Get<float>());
  const float first = in.Get<float>();
  out.outside_mass.push_back(in.Get<float>());
  if (!(out.next_logprobs.back() <= 1e-3f) || !(first <= 1e-3f) ||
      !(out.outside_mass.back() >= 0.f && out.outside_mass.back() <= 1.f)) {
    return Damaged("a probability out of range");
  }
  for (uint32_t i = 0; i < candidates; ++i) {
    const uint32_t id = in.GetUint(h.id_bytes);
    if (id >= h.vocab) return Damaged("a candidate outside the vocabulary");
    out.candidates.push_back(static_cast<int32_t>(id));
  }
  for (uint32_t i = 0; i < candidates; ++i) {
    out.logprobs.push_back(first - static_cast<float>(in.Get<uint16_t>()) /
                                       static_cast<float>(h.step));
  }
  return OkStatus();
}

Result<ReferenceDocument> ReadDocument(Cursor& in, const Header& h) {
  if (!in.Has(sizeof(uint32_t))) return Damaged("ends early");
  const uint32_t tokens = in.Get<uint32_t>();
  if (tokens < 2 || tokens > kReferenceTokensMax) return Damaged("number of tokens out of range");
  const uint64_t record = 3 * sizeof(float) + uint64_t{h.head + h.tail} * (h.id_bytes + 2);
  if (!in.Has(tokens * sizeof(uint32_t) + (tokens - 1) * record)) return Damaged("ends early");
  ReferenceDocument out;
  for (uint32_t i = 0; i < tokens; ++i) {
    const uint32_t id = in.Get<uint32_t>();
    if (id >= h.vocab) return Damaged("a token outside the vocabulary");
    out.ids.push_back(static_cast<int32_t>(id));
  }
  const size_t candidates = size_t{tokens - 1} * (h.head + h.tail);
  out.candidates.reserve(candidates);
  out.logprobs.reserve(candidates);
  for (uint32_t i = 0; i + 1 < tokens; ++i) RETURN_IF_ERROR(ReadPosition(in, h, out));
  return out;
}

// KL(reference ‖ model) at one position: the head exactly, the rest from its sample.
double Divergence(const KlReference& reference, const ReferencePosition& at,
                  std::span<const float> logits, double log_normaliser) {
  double head = 0.0, tail = 0.0;
  for (int i = 0; i < reference.head + reference.tail; ++i) {
    const double log_p = at.logprobs[i];
    const double log_q = logits[static_cast<size_t>(at.ids[i])] - log_normaliser;
    if (i < reference.head) {
      head += std::exp(log_p) * (log_p - log_q);
    } else {
      tail += log_p - log_q;
    }
  }
  return reference.tail == 0 ? head : head + at.outside_mass * tail / reference.tail;
}

}  // namespace

ReferencePosition KlReference::At(const ReferenceDocument& document, size_t position) const {
  const size_t first = position * static_cast<size_t>(head + tail);
  return {.next_logprob = document.next_logprobs[position],
          .outside_mass = document.outside_mass[position],
          .ids = document.candidates.data() + first,
          .logprobs = document.logprobs.data() + first};
}

Result<KlReference> ReadKlReference(std::span<const std::byte> bytes) {
  Cursor in(bytes);
  auto header = ReadHeader(in);
  RETURN_IF_ERROR(header.status());
  KlReference out{.vocab = static_cast<int>(header->vocab), .head = static_cast<int>(header->head),
                  .tail = static_cast<int>(header->tail), .documents = {}};
  for (uint32_t i = 0; i < header->documents; ++i) {
    auto document = ReadDocument(in, *header);
    RETURN_IF_ERROR(document.status());
    out.documents.push_back(*std::move(document));
  }
  if (!in.done()) return Damaged("bytes after the last document");
  return out;
}

double Fidelity::perplexity() const {
  return positions == 0 ? 0.0 : std::exp(nll / static_cast<double>(positions));
}

double Fidelity::reference_perplexity() const {
  return positions == 0 ? 0.0 : std::exp(reference_nll / static_cast<double>(positions));
}

double Fidelity::same_first_share() const {
  return positions == 0 ? 0.0
                        : static_cast<double>(same_first) / static_cast<double>(positions);
}

Status RunSequence(Model& model, nn::Team& team, std::span<const int32_t> ids, int chunk,
                   const VisitLogits& visit) {
  const ModelInfo& info = model.info();
  if (chunk < 1 || chunk > model.MaxRows()) {
    return InvalidArgument(fmt::format("a chunk of {} tokens; 1 to {} are possible", chunk,
                                       model.MaxRows()));
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= info.vocab_size) {
      return InvalidArgument(fmt::format("token {} is outside the vocabulary of {}", id,
                                         info.vocab_size));
    }
  }
  if (ids.empty()) return OkStatus();
  const int blocks = static_cast<int>((ids.size() + kernels::kKvBlockTokens - 1) /
                                      kernels::kKvBlockTokens);
  auto kv = kv::KvStorage::Create(info.layers, blocks, info.kv_block_bytes);
  RETURN_IF_ERROR(kv.status());
  std::vector<int32_t> table(static_cast<size_t>(blocks));
  std::iota(table.begin(), table.end(), 0);
  const size_t vocab = static_cast<size_t>(info.vocab_size);
  std::vector<float> logits(vocab * std::min(ids.size(), static_cast<size_t>(chunk)));
  std::vector<int32_t> all_rows(static_cast<size_t>(chunk));
  std::iota(all_rows.begin(), all_rows.end(), 0);

  for (size_t first = 0; first < ids.size(); first += static_cast<size_t>(chunk)) {
    const size_t rows = std::min(ids.size() - first, static_cast<size_t>(chunk));
    const SequenceRows sequence{.row_begin = 0, .rows = static_cast<int>(rows),
                                .position = static_cast<int>(first), .block_table = table};
    const BatchView batch{.tokens = ids.subspan(first, rows), .sequences = {&sequence, 1},
                          .logit_rows = std::span(all_rows).first(rows)};
    {
      nn::Team::Turn turn(team);
      model.Forward(batch, *kv, team, logits);
    }
    for (size_t r = 0; r < rows; ++r) visit(first + r, std::span(logits).subspan(r * vocab, vocab));
  }
  return OkStatus();
}

Status Evaluate(Model& model, nn::Team& team, const kernels::KernelTable& table,
                std::span<const int32_t> ids, const KlReference* reference,
                const ReferenceDocument* document, int chunk, Fidelity& out) {
  if (reference != nullptr && reference->vocab != model.info().vocab_size) {
    return InvalidArgument(fmt::format("the reference has a vocabulary of {}, the model of {}",
                                       reference->vocab, model.info().vocab_size));
  }
  return RunSequence(model, team, ids, chunk, [&](size_t at, std::span<const float> logits) {
    if (at + 1 >= ids.size()) return;
    const int vocab = static_cast<int>(logits.size());
    float max = 0.f;
    double sum = 0.0;
    table.max_sum_exp(logits.data(), vocab, &max, &sum);
    const double log_normaliser = max + std::log(sum);
    out.positions += 1;
    out.nll += log_normaliser - logits[static_cast<size_t>(ids[at + 1])];
    if (document == nullptr) return;
    const ReferencePosition position = reference->At(*document, at);
    out.reference_nll -= position.next_logprob;
    out.kl += Divergence(*reference, position, logits, log_normaliser);
    out.same_first += table.argmax(logits.data(), vocab) == position.ids[0];
  });
}

}  // namespace pelton::models
