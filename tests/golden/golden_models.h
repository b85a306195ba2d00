// What the golden tests share: models opened once a program, and readers of the reference files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "models/model.h"
#include "nn/team.h"

namespace pelton::golden {

inline std::string DataPath(const std::string& name) {
  return std::string(PELTON_GOLDEN_DATA) + "/" + name;
}

inline std::vector<char> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// The file of a model of tools/setup/models.lock, where set-up puts it: what $PELTON_MODEL_<NAME>
// says, else $PELTON_CACHE/models/<first 12 of its SHA-256>/<file>. Empty for an unknown name.
inline std::string ModelPath(const std::string& name) {
  std::string variable = "PELTON_MODEL_" + name;
  std::transform(variable.begin(), variable.end(), variable.begin(), ::toupper);
  if (const char* given = std::getenv(variable.c_str())) return given;
  const auto text = [](const char* key) { const char* v = std::getenv(key); return std::string(v ? v : ""); };
  std::string cache = text("PELTON_CACHE");
  if (cache.empty()) {
    const std::string xdg = text("XDG_CACHE_HOME");
    cache = (xdg.empty() ? text("HOME") + "/.cache" : xdg) + "/pelton";
  }
  std::ifstream lock(PELTON_MODELS_LOCK);
  std::string line, entry, file, sha;
  while (std::getline(lock, line)) {
    std::istringstream fields(line);
    if (fields >> entry >> file >> sha && entry == name) {
      return cache + "/models/" + sha.substr(0, 12) + "/" + file;
    }
  }
  ADD_FAILURE() << "no model " << name << " in " << PELTON_MODELS_LOCK;
  return {};
}

struct Loaded {
  std::unique_ptr<format::ModelFile> file;
  std::unique_ptr<models::Model> model;
};

inline Loaded Load(const std::string& path, const kernels::KernelTable& table, nn::Team& team) {
  Loaded out;
  auto file = format::ModelFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status().message() << "\n(`make build` downloads the models)";
  if (!file.ok()) return out;
  out.file = *std::move(file);
  auto model = models::LoadModel(*out.file, {.table = &table, .progress = {}}, team);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (model.ok()) out.model = *std::move(model);
  return out;
}

inline const kernels::KernelTable& BestTable() {
  const char* forced = std::getenv("PELTON_FORCE_ISA");
  const auto* table = kernels::ChooseTable(UsableCpuFeatures(), forced == nullptr ? "" : forced);
  CHECK(table != nullptr, "PELTON_FORCE_ISA names a table that is not usable");
  return *table;
}

inline std::vector<const kernels::KernelTable*> UsableTables() {
  std::vector<const kernels::KernelTable*> out;
  for (const auto* table : kernels::AllTables()) {
    if (table->usable(UsableCpuFeatures())) out.push_back(table);
  }
  return out;
}

struct TinyLogits {
  int tokens = 0, vocab = 0;
  std::vector<int32_t> ids;
  std::vector<float> logits;  // [tokens, vocab]
};

// How far logits are from a reference's, position by position.
struct LogitErrors {
  double squares = 0, worst = 0, kl = 0;
  int64_t values = 0, positions = 0;

  void Add(std::span<const float> got, const float* want) {
    double got_sum = 0, want_sum = 0, mean = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const double error = got[i] - want[i];
      squares += error * error;
      worst = std::max(worst, std::abs(error));
      got_sum += std::exp(static_cast<double>(got[i]));
      want_sum += std::exp(static_cast<double>(want[i]));
      mean += std::exp(static_cast<double>(want[i])) * error;
    }
    kl += std::log(got_sum / want_sum) - mean / want_sum;
    values += static_cast<int64_t>(got.size());
    ++positions;
  }
  double rms() const { return std::sqrt(squares / static_cast<double>(values)); }
  double mean_kl() const { return kl / static_cast<double>(positions); }
};

// Keys and values are kept in fp16 and everything else in fp32: differences stay near 1e-3 of the
// logits' range. A wrong rotation, window or scale is off by whole units. Tables on bf16 tiles round
// queries, keys, values and weights of attention to 8 bits, which models of random weights, with their
// large scores, make ten times as much of: for them the bound is what files of floats may cost.
inline void ExpectNear(const LogitErrors& errors, const kernels::KernelTable& table) {
  if (table.definition == nullptr) {
    EXPECT_LT(errors.rms(), 0.004) << table.name;
    EXPECT_LT(errors.worst, 0.05) << table.name;
  } else {
    EXPECT_LT(errors.mean_kl(), 0.0005) << table.name;
    EXPECT_LT(errors.worst, 0.4) << table.name;
  }
}

inline TinyLogits ReadTinyLogits(const std::string& path) {
  const std::vector<char> bytes = ReadAll(path);
  TinyLogits out;
  uint32_t head[2] = {0, 0};
  if (bytes.size() < 16 || std::memcmp(bytes.data(), "PLTNLGT1", 8) != 0) {
    ADD_FAILURE() << path << " is not a logits file";
    return out;
  }
  std::memcpy(head, bytes.data() + 8, 8);
  out.tokens = static_cast<int>(head[0]);
  out.vocab = static_cast<int>(head[1]);
  out.ids.resize(head[0]);
  out.logits.resize(size_t{head[0]} * head[1]);
  EXPECT_EQ(bytes.size(), 16 + 4 * out.ids.size() + 4 * out.logits.size());
  std::memcpy(out.ids.data(), bytes.data() + 16, 4 * out.ids.size());
  std::memcpy(out.logits.data(), bytes.data() + 16 + 4 * out.ids.size(), 4 * out.logits.size());
  return out;
}

}  // namespace pelton::golden
