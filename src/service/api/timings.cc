#include "api/timings.h"

#include <cmath>

namespace pelton::api {

void WriteTimings(const serving::Timings& t, codec::JsonWriter* w) {
  const auto ms = [&](std::string_view name, double value) {
    w->Key(name).Value(std::round(value * 1000) / 1000);
  };
  w->Object();
  ms("prepare_ms", t.prepare_ms);
  ms("queue_ms", t.queue_ms);
  ms("prefill_ms", t.prefill_ms);
  ms("first_token_ms", t.first_token_ms);
  ms("decode_ms", t.decode_ms);
  ms("total_ms", t.total_ms);
  w->Key("sequences").Value(t.sequences).Key("prompt_tokens").Value(t.prompt_tokens);
  w->Key("cached_tokens").Value(t.cached_tokens);
  w->Key("completion_tokens").Value(t.completion_tokens);
  w->Key("prompt_chunks").Value(t.prompt_chunks).Key("decode_steps").Value(t.decode_steps);
  w->Key("preemptions").Value(t.preemptions);
  w->Key("waited_for").Object();
  ms("places_ms", t.wait_places_ms);
  ms("kv_blocks_ms", t.wait_blocks_ms);
  ms("other_prompts_ms", t.wait_rows_ms);
  ms("reader_ms", t.wait_reader_ms);
  w->End().End();
}

}  // namespace pelton::api
