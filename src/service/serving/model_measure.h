// What a model's own requests say about the next ones: bytes a token, length of answers. Estimates
// before a prompt is tokenized; never a reason to refuse by themselves. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pelton::serving {

class ModelMeasure {
 public:
  // Tokens that a text of so many bytes is likely to have.
  int64_t TokensOfBytes(size_t bytes) const;
  void Tokenized(size_t bytes, int64_t tokens);

  // Tokens that an answer is likely to have.
  int64_t ExpectedAnswer() const { return static_cast<int64_t>(answer_tokens_.load()); }
  void Answered(int64_t tokens);

  double bytes_per_token() const { return bytes_per_token_.load(); }

 private:
  // Running means. A lost update between two threads does no harm.
  std::atomic<double> bytes_per_token_{4};
  std::atomic<double> answer_tokens_{256};
};

}  // namespace pelton::serving
