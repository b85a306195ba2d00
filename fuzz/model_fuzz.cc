// Any bytes as a model file, opened and loaded; whatever loads takes a step of a few tokens. The
// graph must stay inside its buffers whatever the weights are.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "models/model.h"

namespace {

using namespace pelton;

constexpr int kTokens = 19;                   // more than one KV block
constexpr size_t kWorkMax = size_t{4} << 20;  // weights above which a step is not worth its time

struct Machine {
  nn::Team team{{.threads = 1, .pin = false}};
  int fd = memfd_create("model", 0);
  std::string path = "/proc/self/fd/" + std::to_string(fd);
};

void Step(models::Model& model, nn::Team& team) {
  const models::ModelInfo& info = model.info();
  if (info.weight_bytes > kWorkMax || info.layers > 64 || info.kv_block_bytes > kWorkMax) return;
  auto kv = kv::KvStorage::Create(info.layers, 2, info.kv_block_bytes);
  if (!kv.ok()) std::abort();
  std::vector<int32_t> tokens(kTokens), rows = {kTokens - 1};
  for (int i = 0; i < kTokens; ++i) tokens[i] = i % info.vocab_size;
  const std::vector<int32_t> table = {1, 0};
  const models::SequenceRows sequence{.row_begin = 0, .rows = kTokens, .position = 0,
                                      .block_table = table};
  std::vector<float> logits(info.vocab_size);
  nn::Team::Turn turn(team);
  model.Forward({.tokens = tokens, .sequences = {&sequence, 1}, .logit_rows = rows}, *kv, team,
                logits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Machine machine;
  if (ftruncate(machine.fd, static_cast<off_t>(size)) != 0) std::abort();
  if (pwrite(machine.fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  auto file = format::ModelFile::Open(machine.path);
  if (!file.ok()) return 0;
  for (const auto* table : kernels::AllTables()) {
    if (!table->usable(UsableCpuFeatures())) continue;
    auto model = models::LoadModel(**file, {.table = table, .progress = {}}, machine.team);
    if (!model.ok()) {
      if (model.status().message().empty()) std::abort();
      break;  // for the same reason on every table
    }
    Step(**model, machine.team);
  }
  return 0;
}
