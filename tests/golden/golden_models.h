// What the golden tests share: models opened once a program, and readers of the reference files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
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

// Where set-up puts models: $PELTON_CACHE/models, else the user's cache folder.
inline std::string ModelPath(const std::string& name) {
  const char* cache = std::getenv("PELTON_CACHE");
  const char* home = std::getenv("HOME");
  const std::string root = cache != nullptr ? cache : std::string(home ? home : "") + "/.cache/pelton";
  return root + "/models/" + name;
}

inline constexpr char kSmolLm2[] = "SmolLM2-135M-Instruct.Q4_1.gguf";
inline constexpr char kGemma3[] = "gemma-3-270m-q4_k_m.gguf";

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
