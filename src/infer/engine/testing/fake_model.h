// A model that is not one, for tests: no weights, no attention. It keeps the token ids themselves in
// the KV cache, exactly where a real model keeps keys and values, and makes the next token from the
// whole history that it reads back through the block table. So a wrong block, position or order
// shows as a wrong text; Expected() says what a right engine must answer.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "base/random.h"
#include "models/model.h"

namespace pelton::engine::testing {

struct FakeModelOptions {
  int vocab_size = 300;
  int context_length = 512;
  int layers = 2;
  int max_rows = 4096;
  // Tokens below this are what histories lead to; the others come only from scripts.
  int spoken_tokens = 256;
  // A prompt of exactly this one token leads to these tokens, in order, then to spoken ones.
  std::map<int32_t, std::vector<int32_t>> scripts;
  // Above 0 the text repeats itself: what comes next follows from so many last tokens, but for one in
  // `surprise_every` (0: none), which follows from the whole history as else all do.
  int memory_tokens = 0;
  int surprise_every = 0;
  // Histories that hold this token give NaN logits; -1: none.
  int32_t poison_token = -1;
  // Called in every step, e.g. to let a fake clock go on by what the step would take. May be empty.
  std::function<void(const models::BatchView&)> on_forward;
};

class FakeModel final : public models::Model {
 public:
  explicit FakeModel(FakeModelOptions options = {}) : options_(std::move(options)) {
    info_.architecture = "fake";
    info_.name = "fake";
    info_.vocab_size = options_.vocab_size;
    info_.context_length = options_.context_length;
    info_.layers = options_.layers;
    info_.kv_block_bytes = kernels::kKvBlockTokens * sizeof(int32_t);
  }

  const models::ModelInfo& info() const override { return info_; }
  int MaxRows() const override { return options_.max_rows; }

  void Forward(const models::BatchView& batch, kv::KvStorage& kv, nn::Team&,
               std::span<float> logits) override {
    if (options_.on_forward) options_.on_forward(batch);
    ++steps;
    rows += batch.tokens.size();
    for (const models::SequenceRows& sequence : batch.sequences) {
      for (int r = 0; r < sequence.rows; ++r) {
        for (int layer = 0; layer < options_.layers; ++layer) {
          *Cell(kv, layer, sequence, sequence.position + r) =
              batch.tokens[static_cast<size_t>(sequence.row_begin + r)] + layer;
        }
      }
    }
    size_t out = 0;
    for (const int32_t row : batch.logit_rows) {
      Answer(History(batch, kv, row), logits.subspan(out, info_.vocab_size));
      out += static_cast<size_t>(info_.vocab_size);
    }
  }

  // The tokens that greedy decoding must give after `prompt`.
  std::vector<int32_t> Expected(std::vector<int32_t> prompt, int count) const {
    std::vector<int32_t> out;
    for (int i = 0; i < count; ++i) {
      out.push_back(Next(prompt));
      prompt.push_back(out.back());
    }
    return out;
  }

  uint64_t steps = 0, rows = 0;  // read them while nothing steps

 private:
  static int32_t* Cell(kv::KvStorage& kv, int layer, const models::SequenceRows& sequence,
                       int position) {
    const int32_t block =
        sequence.block_table[static_cast<size_t>(position / kernels::kKvBlockTokens)];
    std::byte* at = kv.Layer(layer) + static_cast<size_t>(block) * kv.block_bytes();
    return reinterpret_cast<int32_t*>(at) + position % kernels::kKvBlockTokens;
  }

  // What the cache says was said up to `row`. Layers that disagree give a history of nothing.
  std::vector<int32_t> History(const models::BatchView& batch, kv::KvStorage& kv,
                               int32_t row) const {
    for (const models::SequenceRows& sequence : batch.sequences) {
      if (row < sequence.row_begin || row >= sequence.row_begin + sequence.rows) continue;
      std::vector<int32_t> history;
      for (int p = 0; p <= sequence.position + row - sequence.row_begin; ++p) {
        const int32_t token = *Cell(kv, 0, sequence, p);
        for (int layer = 1; layer < options_.layers; ++layer) {
          if (*Cell(kv, layer, sequence, p) != token + layer) return {};
        }
        history.push_back(token);
      }
      return history;
    }
    return {};
  }

  int32_t Next(const std::vector<int32_t>& history) const {
    if (history.empty()) return 0;
    const auto script = options_.scripts.find(history.front());
    if (script != options_.scripts.end() && history.size() <= script->second.size()) {
      return script->second[history.size() - 1];
    }
    uint64_t hash = Hash(history);
    const bool surprise = options_.surprise_every > 0 &&
                          (hash >> 32) % static_cast<uint64_t>(options_.surprise_every) == 0;
    const auto memory = static_cast<size_t>(options_.memory_tokens);
    if (memory > 0 && history.size() > memory && !surprise) {
      hash = Hash(std::span(history).last(memory));
    }
    return static_cast<int32_t>(hash % static_cast<uint64_t>(options_.spoken_tokens));
  }

  static uint64_t Hash(std::span<const int32_t> history) {
    uint64_t hash = history.size();
    for (const int32_t token : history) hash = Mix64(hash ^ static_cast<uint64_t>(token));
    return hash;
  }

  void Answer(const std::vector<int32_t>& history, std::span<float> logits) const {
    for (const int32_t token : history) {
      if (token != options_.poison_token) continue;
      std::fill(logits.begin(), logits.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    const uint64_t hash = Hash(history);
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = static_cast<float>(Mix64(hash + i) >> 40) * 0x1p-24f;  // [0, 1)
    }
    logits[static_cast<size_t>(Next(history))] = 6.f;
  }

  const FakeModelOptions options_;
  models::ModelInfo info_;
};

}  // namespace pelton::engine::testing
