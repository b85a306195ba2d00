// How requests' timings and the engines' figures look as JSON.
#pragma once

#include "codec/json_write.h"
#include "serving/request_log.h"

namespace pelton::api {

// {"prepare_ms":…,"queue_ms":…,…}; times with three decimals.
void WriteTimings(const serving::Timings& timings, codec::JsonWriter* w);

}  // namespace pelton::api
