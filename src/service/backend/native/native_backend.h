// The own engine as a backend: model file, tokenizer, chat template, engine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "backend/backend.h"
#include "engine/engine.h"
#include "format/model_file.h"
#include "kernels/kernels.h"
#include "nn/team.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace pelton::backend {

struct NativeOptions {
  int threads = 0;
  bool pin_threads = true;
  // Folder of packed weights; "off", or (before the program has put in its own default) empty: none.
  std::string packed_cache;
  std::string quantize = "none";
  std::string batch_invariant = "auto";
  int64_t packed_cache_bytes_max = int64_t{16} << 30;
  engine::EngineOptions engine;

  template <typename V>
  void Fields(V& v) {
    v.Field("threads", threads,
            {.help = "Threads that compute; 0: as many as affinity and cgroup quota allow.",
             .min = 0, .max = 1024});
    v.Field("pin-threads", pin_threads, {.help = "Tie each of them to one CPU."});
    v.Field("ctx", engine.context,
            {.help = "Most tokens of one sequence, prompt and answer; 0: the model's own, at most "
                     "8192. More costs KV memory.", .min = 0, .max = 1 << 24});
    v.Field("kv-bytes-max", engine.kv_bytes_max,
            {.help = "Bytes for the KV cache of each model; 0: what the memory budget has left, shared "
                     "with models still to come. More than is left is refused.", .min = 0});
    v.Field("max-running", engine.max_running,
            {.help = "Sequences in one step.", .min = 1, .max = 4096});
    v.Field("max-waiting", engine.max_waiting,
            {.help = "Sequences queued for a model; one more gets 429.", .min = 0, .max = 65536});
    v.Field("step-tokens", engine.step_tokens,
            {.help = "Tokens of one step: more prefills faster and delays running streams more.",
             .min = 1, .max = 65536});
    v.Field("prefill-chunk", engine.prefill_chunk,
            {.help = "Most prompt tokens of one sequence in a step.", .min = 1, .max = 65536});
    v.Field("tbt-target-ms", engine.tbt_target_ms,
            {.help = "Milliseconds wanted between the tokens of running streams while prompts are "
                     "computed beside them: the parts of prompts are made to fit; 0: twice a step "
                     "without prompts, at least 40.", .min = 0, .max = 60'000});
    v.Field("batch-invariant", batch_invariant,
            {.help = "on: bit-equal answers alone, in any batch and after a cache hit. auto: where "
                     "that costs nothing, which is everywhere but on AMX, where few streams are "
                     "faster without.", .choices = {"auto", "on", "off"}});
    v.Field("prefix-cache", engine.prefix_cache,
            {.help = "Compute equal beginnings of one tenant's prompts once; uses KV memory that "
                     "nothing else needs."});
    v.Field("speculation", engine.speculation,
            {.help = "Guess tokens from what a sequence has said before and check them together: "
                     "the same text in fewer steps where it repeats itself. auto: as far as it "
                     "pays, which is less the more sequences run.", .choices = {"auto", "off"}});
    v.Field("quantize", quantize,
            {.help = "What weights that are floats in the model's files are packed as.",
             .choices = {"none", "q8_0", "q4_1", "q4_0"}});
    v.Field("packed-cache", packed_cache,
            {.help = "Folder where packed weights are kept for the next start, or off; by default "
                     "the user's cache folder (~/.cache/pelton/packed).", .value_name = "DIR|off"});
    v.Field("packed-cache-bytes-max", packed_cache_bytes_max,
            {.help = "Most bytes of that folder; the longest unused files go first.", .min = 0});
  }
};

// What all native models of a process share: the worker team and the kernel table.
struct NativeRuntime {
  nn::Team& team;
  const kernels::KernelTable& table;
};

// The parts that make a backend; the file outlives all that was read from it.
struct NativeParts {
  MemoryBudget::Hold text_hold;  // of tokenizer and template
  std::shared_ptr<const format::ModelFile> file;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::unique_ptr<text::ChatTemplate> chat_template;
  std::unique_ptr<engine::Engine> engine;
  std::jthread packed_writer;  // reads the engine's weights, so it ends before
};

// `progress` gets done and total bytes while weights are packed; may be empty. Errors are one line
// that names the file and what is wrong in it.
Result<std::unique_ptr<Backend>> LoadNative(
    const std::string& path, const NativeOptions& options, const NativeRuntime& runtime,
    std::function<void(uint64_t done, uint64_t total)> progress);

// For tests: any engine behind the interface.
std::unique_ptr<Backend> MakeNativeBackend(NativeParts parts);

}  // namespace pelton::backend
